#include "store/resources.hpp"

#include <atomic>
#include <thread>

#include "store/migrations.hpp"
#include "store/tests/each_database.hpp"

namespace corral::store::resources_test {
namespace {

class ResourcesOn : public EachDatabase {
 protected:
  void SetUp() override {
    EachDatabase::SetUp();
    ASSERT_OK(migrate(*database_, schema_migrations(), clock_));
  }
  static ResourceChange change(const std::string& name, const std::string& body,
                               std::optional<std::int64_t> expected = std::nullopt) {
    return {.kind = "endpoint",
            .name = name,
            .body = body,
            .expected_version = expected,
            .author = "eve"};
  }
  Resources resources() { return {*database_, clock_}; }

  sys::ManualClock clock_;
};
FOR_EACH_DATABASE(ResourcesOn);

TEST_P(ResourcesOn, PutAndGet) {
  auto saved = resources().put(change("gpu-1", R"({"url": "http://x/ü"})", 0));
  ASSERT_OK(saved);
  EXPECT_EQ(saved->version, 1);
  auto got = resources().get("endpoint", "gpu-1");
  ASSERT_OK(got);
  EXPECT_EQ(got->kind, "endpoint");
  EXPECT_EQ(got->name, "gpu-1");
  EXPECT_EQ(got->version, 1);
  EXPECT_EQ(got->body, R"({"url": "http://x/ü"})");
  EXPECT_EQ(got->author, "eve");
  EXPECT_EQ(got->changed, clock_.wall());
  EXPECT_FAILS(ErrorCode::not_found, resources().get("endpoint", "gpu-2"));
  EXPECT_FAILS(ErrorCode::not_found, resources().get("route", "gpu-1"));
}

TEST_P(ResourcesOn, AChangeNamesTheVersionItWasMadeFrom) {
  ASSERT_OK(resources().put(change("a", "{}", 0)));
  auto exists = resources().put(change("a", "{}", 0));
  EXPECT_FAILS(ErrorCode::conflict, exists);
  EXPECT_EQ(exists.error().message, "the endpoint 'a' is there already, at version 1");
  EXPECT_EQ(exists.error().param, "version");
  EXPECT_EQ(resources().put(change("a", "{\"n\":2}", 1)).value().version, 2);
  auto stale = resources().put(change("a", "{\"n\":3}", 1));
  EXPECT_FAILS(ErrorCode::conflict, stale);
  EXPECT_EQ(stale.error().message, "the endpoint 'a' is at version 2, not 1");
  EXPECT_FAILS(ErrorCode::conflict, resources().put(change("a", "{}", 7)));
  auto missing = resources().put(change("b", "{}", 4));
  EXPECT_FAILS(ErrorCode::conflict, missing);
  EXPECT_EQ(missing.error().message, "there is no endpoint 'b' any more, version 4 was expected");
  EXPECT_EQ(resources().put(change("a", "{\"n\":4}")).value().version, 3);  // any
  EXPECT_EQ(resources().get("endpoint", "a").value().body, "{\"n\":4}");
  EXPECT_EQ(count("resource_history"), 3);  // refused changes leave no trace
}

TEST_P(ResourcesOn, AChangeMayNameTheRevisionItWasCheckedAgainst) {
  ASSERT_OK(resources().put(change("a", "{}")));
  auto later = change("b", "{}");
  later.expected_revision = resources().revision().value();
  ASSERT_OK(resources().put(change("c", "{}")));  // another one comes between
  auto late = resources().put(later);
  EXPECT_FAILS(ErrorCode::conflict, late);
  EXPECT_EQ(late.error().param, Resources::kRevisionField);
  EXPECT_FAILS(ErrorCode::not_found, resources().get("endpoint", "b"));
  auto revision = resources().revision().value();
  auto removal = change("a", "");
  removal.expected_revision = revision - 1;
  EXPECT_FAILS(ErrorCode::conflict, resources().remove(removal));
  EXPECT_EQ(resources().revision().value(), revision);  // what is refused counts nothing
  removal.expected_revision = revision;
  ASSERT_OK(resources().remove(removal));
  later.expected_revision = resources().revision().value();
  ASSERT_OK(resources().put(later));
}

TEST_P(ResourcesOn, HistoryKeepsEveryVersionAndTheRemoval) {
  ASSERT_OK(resources().put(change("a", "{\"n\":1}")));
  clock_.advance(std::chrono::seconds(1));
  auto second = change("a", "{\"n\":2}");
  second.author = "bob";
  ASSERT_OK(resources().put(second));
  EXPECT_EQ(resources().remove(change("a", "", 2)).value(), 3);
  EXPECT_FAILS(ErrorCode::not_found, resources().get("endpoint", "a"));
  EXPECT_EQ(resources().put(change("a", "{\"n\":4}", 0)).value().version, 4);

  auto history = resources().history("endpoint", "a", 10);
  ASSERT_OK(history);
  ASSERT_EQ(history->size(), 4u);
  EXPECT_EQ(history->at(0).version, 4);
  EXPECT_EQ(history->at(1).version, 3);
  EXPECT_FALSE(history->at(1).body.has_value());
  EXPECT_EQ(history->at(2).body, "{\"n\":2}");
  EXPECT_EQ(history->at(2).author, "bob");
  EXPECT_EQ(history->at(2).changed - history->at(3).changed, std::chrono::seconds(1));
  EXPECT_EQ(resources().history("endpoint", "a", 2).value().size(), 2u);
  EXPECT_FAILS(ErrorCode::not_found, resources().history("endpoint", "never", 2));
}

TEST_P(ResourcesOn, Remove) {
  EXPECT_FAILS(ErrorCode::not_found, resources().remove(change("a", "")));
  ASSERT_OK(resources().put(change("a", "{}")));
  EXPECT_FAILS(ErrorCode::conflict, resources().remove(change("a", "", 2)));
  EXPECT_FAILS(ErrorCode::conflict, resources().remove(change("a", "", 0)));
  ASSERT_OK(resources().remove(change("a", "", 1)));
  EXPECT_FAILS(ErrorCode::not_found, resources().remove(change("a", "", 1)));
  EXPECT_EQ(count("resources"), 0);
}

TEST_P(ResourcesOn, ListGoesThroughNamesByPages) {
  for (const char* name : {"b", "Z", "a", "é", "c"}) ASSERT_OK(resources().put(change(name, "{}")));
  auto other = change("a", "{}");
  other.kind = "route";
  ASSERT_OK(resources().put(other));
  std::vector<std::string> names;
  std::string after;
  for (;;) {
    auto page = resources().list("endpoint", after, 2);
    ASSERT_OK(page);
    ASSERT_LE(page->size(), 2u);
    if (page->empty()) break;
    for (const auto& one : *page) names.push_back(one.name);
    after = names.back();
  }
  EXPECT_EQ(names, (std::vector<std::string>{"Z", "a", "b", "c", "é"}));
  EXPECT_TRUE(resources().list("nothing", "", 2).value().empty());
}

TEST_P(ResourcesOn, RevisionGrowsWithEveryChangeAndOnlyThen) {
  auto at_first = resources().revision().value();
  ASSERT_OK(resources().put(change("a", "{}", 0)));
  auto after_put = resources().revision().value();
  EXPECT_GT(after_put, at_first);
  EXPECT_FAILS(ErrorCode::conflict, resources().put(change("a", "{}", 0)));
  EXPECT_FAILS(ErrorCode::not_found, resources().remove(change("b", "")));
  EXPECT_EQ(resources().revision().value(), after_put);
  ASSERT_OK(resources().remove(change("a", "")));
  EXPECT_GT(resources().revision().value(), after_put);
}

TEST_P(ResourcesOn, WrongInputIsRefused) {
  std::string long_name(Resources::kLongestName + 1, 'x');
  for (const std::string& name : {std::string(), long_name, std::string("a\nb"),
                                  std::string("a\0b", 3), std::string("\xff")}) {
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().put(change(name, "{}")));
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().remove(change(name, "")));
    auto by = change("a", "{}");
    by.author = name;
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().put(by));
    auto kind = change("a", "{}");
    kind.kind = name;
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().put(kind));
  }
  for (const char* body : {"", "[]", "1", "{", "{} x", "null"})
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().put(change("a", body)));
  EXPECT_FAILS(ErrorCode::too_large,
               resources().put(change("a", std::string(Resources::kLargestBody + 1, ' '))));
  EXPECT_FAILS(ErrorCode::invalid_argument, resources().put(change("a", "{}", -1)));
  for (int limit : {0, -1, Resources::kLongestList + 1}) {
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().list("endpoint", "", limit));
    EXPECT_FAILS(ErrorCode::invalid_argument, resources().history("endpoint", "a", limit));
  }
  EXPECT_EQ(resources().revision().value(), 0);
}

TEST_P(ResourcesOn, OfThoseWhoChangeTheSameVersionOneWins) {
  constexpr int kThreads = 4, kRounds = 20;
  open({.connections = kThreads, .busy_timeout = std::chrono::seconds(30)});
  ASSERT_OK(resources().put(change("a", "{}", 0)));
  std::atomic<int> wins = 0, conflicts = 0, others = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        Resources mine(*database_, clock_);
        for (int round = 1; round <= kRounds; ++round) {
          auto saved = mine.put(change("a", "{\"n\":1}", round));
          if (saved)
            ++wins;
          else if (saved.error().code == ErrorCode::conflict)
            ++conflicts;
          else
            ++others;
        }
      });
    }
  }
  EXPECT_EQ(others.load(), 0);
  EXPECT_EQ(resources().get("endpoint", "a").value().version, 1 + wins.load());
  EXPECT_EQ(resources().revision().value(), 1 + wins.load());
  EXPECT_EQ(count("resource_history"), 1 + wins.load());
  EXPECT_EQ(wins + conflicts, kThreads * kRounds);
}

TEST_P(ResourcesOn, OfThoseWhoMakeTheSameNameOneWins) {
  constexpr int kThreads = 6;
  open({.connections = kThreads, .busy_timeout = std::chrono::seconds(30)});
  std::atomic<int> wins = 0, conflicts = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        auto saved = Resources(*database_, clock_).put(change("a", "{}", 0));
        if (saved)
          ++wins;
        else if (saved.error().code == ErrorCode::conflict)
          ++conflicts;
      });
    }
  }
  EXPECT_EQ(wins.load(), 1);
  EXPECT_EQ(conflicts.load(), kThreads - 1);
}

}  // namespace
}  // namespace corral::store::resources_test

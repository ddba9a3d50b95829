// What was learned of how long work takes, in the database.
#include "gateway/learned_work.hpp"

#include "store/migrations.hpp"
#include "store/tests/each_database.hpp"

namespace corral::gateway::learned_work_test {
namespace {

using namespace std::chrono_literals;
using inference::Operation;
using store::Dialect;
using store::dialect_name;

WorkEstimate estimate(std::chrono::seconds took) {
  WorkEstimate out;
  for (std::uint64_t kib = 0; kib < 9; ++kib) {
    out.learn({Operation::chat, true, kib * 1000}, took + std::chrono::milliseconds(137 * kib));
  }
  out.learn({Operation::embedding, false, 77}, took / 3);
  return out;
}

class Learned : public store::EachDatabase {
 protected:
  void SetUp() override {
    EachDatabase::SetUp();
    ASSERT_OK(store::migrate(*database_, store::schema_migrations(), clock_));
  }
  LearnedWorkStore of(const std::string& machine) { return {*database_, clock_, machine}; }
  std::vector<LearnedWork> all(const std::string& machine) {
    auto found = of(machine).all();
    EXPECT_TRUE(found.has_value()) << ::testing::PrintToString(found.error());
    return found.value_or(std::vector<LearnedWork>());
  }

  sys::ManualClock clock_;
};
FOR_EACH_DATABASE(Learned);

TEST_P(Learned, IsWhatWasPut) {
  EXPECT_TRUE(all("a").empty());
  ASSERT_OK(of("a").put({}));
  ASSERT_OK(of("a").put({{"gpu", "m", "p", estimate(2s)}, {"cpu", "n", "", estimate(5s)}}));
  auto found = all("a");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].endpoint, "cpu");
  EXPECT_EQ(found[1].endpoint, "gpu");
  EXPECT_EQ(found[1].model, "m");
  EXPECT_EQ(found[1].place, "p");
  EXPECT_EQ(found[1].estimate.kept(), estimate(2s).kept());  // to the last bit
  EXPECT_EQ(found[0].estimate.kept(), estimate(5s).kept());
}

TEST_P(Learned, TheNewestTakesThePlaceOfTheOneBefore) {
  ASSERT_OK(of("a").put({{"gpu", "m", "p", estimate(2s)}}));
  WorkEstimate other;
  other.learn({Operation::completion, false, 5}, 9s);
  ASSERT_OK(of("a").put({{"gpu", "m", "q", other}}));
  auto found = all("a");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].place, "q");
  EXPECT_EQ(found[0].estimate.kept(), other.kept());
}

TEST_P(Learned, EachMachineHasItsOwn) {
  ASSERT_OK(of("a").put({{"gpu", "m", "", estimate(2s)}}));
  ASSERT_OK(of("b").put({{"gpu", "m", "", estimate(4s)}}));
  ASSERT_EQ(all("a").size(), 1u);
  EXPECT_EQ(all("a")[0].estimate.kept(), estimate(2s).kept());
  EXPECT_EQ(all("b")[0].estimate.kept(), estimate(4s).kept());
}

TEST_P(Learned, WhatIsOldIsForgotten) {
  ASSERT_OK(of("gone").put({{"gpu", "m", "", estimate(2s)}}));
  clock_.advance(std::chrono::hours(24));
  ASSERT_OK(of("a").put({{"gpu", "m", "", estimate(2s)}}));
  clock_.advance(std::chrono::hours(24) * (LearnedWorkStore::kKeptDays - 1) + 1ms);
  ASSERT_OK(of("a").forget_old());
  EXPECT_TRUE(all("gone").empty());
  EXPECT_EQ(all("a").size(), 1u);
}

TEST_P(Learned, WhatCannotBeStoredOrLearnedIsLeftOut) {
  ASSERT_OK(of("a").put({{"gpu", std::string("m\0", 2), "", estimate(2s)},
                         {"gpu", "\xff", "", estimate(2s)},
                         {"gpu", "good", "", estimate(2s)}}));
  run("insert into learned_work values ('a', 'gpu', 'x', 'sing', 0, '', 9, 1, 1, 1, 1, 1, 1)");
  run("insert into learned_work values ('a', 'gpu', 'y', 'chat', 0, '', 9, -1, 1, 1, 1, 1, 1)");
  auto found = all("a");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].model, "good");
}

TEST_P(Learned, ListsUseAnIndex) {
  run("insert into learned_work with recursive n (i) as (select 10000 union all select i + 1 from "
      "n where i < 19999) select 'm' || (i % 50), 'gpu', 'model-' || i, 'chat', 0, '', 9, 1, 1, 1, "
      "1, 1, i from n");
  run("analyze");
  const bool sqlite = GetParam() == Dialect::sqlite;
  auto plan = [&](std::string_view sql, std::initializer_list<store::Value> parameters) {
    auto rows = run((sqlite ? "explain query plan " : "explain ") + std::string(sql), parameters);
    std::string text;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      text += rows[i].text(sqlite ? 3 : 0).value_or("?") + "\n";
    }
    return text;
  };
  for (const auto& text :
       {plan(kListLearned, {"m7", LearnedWorkStore::kMost}), plan(kForgetLearned, {10005})}) {
    EXPECT_TRUE(text.contains("SEARCH") || text.contains("Index ")) << text;
    for (const char* bad : {"SCAN", "Seq Scan"}) EXPECT_FALSE(text.contains(bad)) << text;
  }
}

}  // namespace
}  // namespace corral::gateway::learned_work_test

#include "api/openai/cache_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace corral::api::openai::cache_plan_test {
namespace {

using config::CachePolicy;
using config::Priority;
using inference::Operation;

constexpr std::string_view kWithout[] = {"stream", "user"};

std::string canonical(std::string_view body) {
  return canonical_body(body, kWithout).value_or("nothing");
}

TEST(CanonicalBody, SortsKeysAtEveryDepth) {
  EXPECT_EQ(canonical(R"( { "b" : 1, "a" : { "d" : [ ], "c" : { } } } )"),
            R"({"a":{"c":{},"d":[]},"b":1})");
}

TEST(CanonicalBody, LeavesOutAtTheTopOnly) {
  EXPECT_EQ(canonical(R"({"stream":true,"a":{"user":"x"},"user":"y"})"), R"({"a":{"user":"x"}})");
  EXPECT_EQ(canonical(R"({"user":"y"})"), "{}");
}

TEST(CanonicalBody, NumbersThatAreEqualLookEqual) {
  EXPECT_EQ(canonical(R"({"a":[0,-0,0.0,-0.0,1,1.0,10e-1,0.70,7e-1,-3.0,1e300]})"),
            R"({"a":[0,0,0,0,1,1,1,0.7,0.7,-3,1e+300]})");
  EXPECT_EQ(canonical(R"({"a":18446744073709551615})"), R"({"a":18446744073709551615})");
  EXPECT_NE(canonical(R"({"a":0.1})"), canonical(R"({"a":0.10000000000000002})"));
}

TEST(CanonicalBody, TextsThatAreEqualLookEqual) {
  EXPECT_EQ(canonical(R"({"\u0061":"\u00e9\n\/"})"), canonical("{\"a\":\"é\\u000a/\"}"));
  EXPECT_NE(canonical(R"({"a":"1"})"), canonical(R"({"a":1})"));
  EXPECT_NE(canonical(R"({"a":null})"), canonical(R"({})"));
  EXPECT_NE(canonical(R"({"a":["b","c"]})"), canonical(R"({"a":["c","b"]})"));
}

TEST(CanonicalBody, RefusesKeysThatStandTwice) {
  // Parsers differ on which one counts: the answer of one would be kept for the other.
  EXPECT_FALSE(canonical_body(R"({"a":1,"b":2,"a":1})", {}));
  EXPECT_FALSE(canonical_body(R"({"m":[{"content":"x","content":"y"}]})", {}));
  EXPECT_FALSE(canonical_body(R"({"a":{"b":1,"\u0062":2}})", {}));
  EXPECT_FALSE(canonical_body(R"({"user":"x","user":"y"})", kWithout));
}

TEST(CanonicalBody, RefusesWhatIsNoObject) {
  for (auto body : {"", "[]", "1", "{", R"({"a":1}x)"}) EXPECT_FALSE(canonical_body(body, {}));
}

// Any order of keys, spacing and way to write a number gives the same text, and that text is
// canonical itself; another value anywhere gives another text.
class RandomJson {
 public:
  explicit RandomJson(unsigned seed) : random_(seed) {}

  std::string object(int depth, unsigned shape, bool shuffled) {
    std::mt19937 same(shape);
    std::vector<std::string> members;
    unsigned count = 1 + same() % 5;
    for (unsigned i = 0; i < count; ++i) {
      members.push_back("\"k" + std::to_string(i) + "\"" + gap(shuffled) + ":" + gap(shuffled) +
                        value(depth, static_cast<unsigned>(same()), shuffled));
    }
    if (shuffled) std::shuffle(members.begin(), members.end(), random_);
    std::string out = "{";
    for (std::size_t i = 0; i < members.size(); ++i) out += (i == 0 ? "" : ",") + members[i];
    return out + "}";
  }

 private:
  std::string gap(bool shuffled) {
    static const char* const kGaps[] = {"", " ", "\n", "\t  "};
    return shuffled ? kGaps[random_() % 4] : "";
  }
  std::string value(int depth, unsigned shape, bool shuffled) {
    switch (depth == 0 ? shape % 4 : shape % 6) {
      case 0: return "\"text " + std::to_string(shape) + "\"";
      case 1: return std::to_string(shape % 1000) + (shuffled && random_() % 2 == 0 ? ".0" : "");
      case 2: return shape % 8 < 4 ? "true" : "null";
      case 3: return shuffled && random_() % 2 == 0 ? "25e-2" : "0.25";
      case 4: return "[" + value(depth - 1, shape / 6, shuffled) + gap(shuffled) + "]";
      default: return object(depth - 1, shape / 6, shuffled);
    }
  }
  std::mt19937 random_;
};

TEST(CanonicalBody, OneTextForAllWaysToWriteIt) {
  std::set<std::string> canonical_texts, plain_texts;
  for (unsigned shape = 0; shape < 500; ++shape) {
    RandomJson make(shape);
    std::string text = make.object(4, shape, false);
    auto plain = canonical_body(text, {});
    ASSERT_TRUE(plain);
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(canonical_body(make.object(4, shape, true), {}), plain) << shape;
    }
    EXPECT_EQ(canonical_body(*plain, {}), plain);
    canonical_texts.insert(*plain);
    plain_texts.insert(text);
  }
  EXPECT_EQ(canonical_texts.size(), plain_texts.size());
  EXPECT_GT(plain_texts.size(), 400u);
}

class CachePlanTest : public testing::Test {
 protected:
  CachePlanTest() {
    spec.settings.name = "r";
    spec.settings.cache = CachePolicy::temperature0;
    spec.settings.cache_ttl = std::chrono::seconds(7);
    route.route = &spec;
  }

  std::optional<CachePlan> plan(std::string_view body, Operation operation = Operation::chat,
                                Priority priority = Priority::normal) {
    inference::Request request;
    request.operation = operation;
    request.stream = body.contains(R"("stream":true)");
    request.body = body;
    return plan_cache(http, request, route, priority);
  }
  gateway::AnswerKey key(std::string_view body, Operation operation = Operation::chat) {
    auto made = plan(body, operation);
    EXPECT_TRUE(made) << body;
    return made ? made->key : gateway::AnswerKey{};
  }

  gateway::Route spec;
  gateway::ActiveRoute route;
  net::HttpRequest http;
};

TEST_F(CachePlanTest, TemperatureZeroMustStandThere) {
  EXPECT_TRUE(plan(R"({"temperature":0})"));
  EXPECT_TRUE(plan(R"({"temperature":0.0,"n":1})"));
  EXPECT_TRUE(plan(R"({"temperature":-0.0,"n":null})"));
  EXPECT_FALSE(plan(R"({})"));
  EXPECT_FALSE(plan(R"({"temperature":null})"));
  EXPECT_FALSE(plan(R"({"temperature":0.01})"));
  EXPECT_FALSE(plan(R"({"temperature":"0"})"));
  EXPECT_FALSE(plan(R"({"temperature":0,"n":2})"));
  EXPECT_FALSE(plan(R"({"temperature":0,"n":"1"})"));
  EXPECT_EQ(plan(R"({"temperature":0})")->ttl, std::chrono::seconds(7));
  EXPECT_EQ(plan(R"({"temperature":0})")->route, "r");
}

TEST_F(CachePlanTest, OrComeFromTheRoute) {
  spec.parameters = {{"top_p", "0"}, {"temperature", "0.0"}};
  EXPECT_TRUE(plan(R"({})"));
  EXPECT_FALSE(plan(R"({"temperature":1})"));
  spec.parameters = {{"temperature", "0.5"}};
  EXPECT_FALSE(plan(R"({})"));
  spec.parameters = {{"temperature", "\"0\""}};
  EXPECT_FALSE(plan(R"({})"));
}

TEST_F(CachePlanTest, EmbeddingsHaveNoRandomness) {
  EXPECT_TRUE(plan(R"({"input":"x"})", Operation::embedding));
  EXPECT_FALSE(plan(R"({"prompt":"x"})", Operation::completion));
  EXPECT_FALSE(plan(R"({"input":"x","stream":true})", Operation::embedding)->stream);
}

TEST_F(CachePlanTest, TheRouteDecides) {
  http.headers.set("x-corral-cache", "on");
  EXPECT_TRUE(plan(R"({"temperature":1,"n":3})"));
  spec.settings.cache = CachePolicy::opt_in;
  EXPECT_TRUE(plan(R"({"temperature":1})"));
  http.headers.clear();
  EXPECT_FALSE(plan(R"({"temperature":0})"));
  http.headers.set("x-corral-cache", "ON ");
  EXPECT_TRUE(plan(R"({})"));
  spec.settings.cache = CachePolicy::off;
  EXPECT_FALSE(plan(R"({"temperature":0})"));
}

TEST_F(CachePlanTest, TheClientMayRefuse) {
  constexpr std::string_view body = R"({"temperature":0})";
  http.headers.set("x-corral-cache", "off");
  EXPECT_FALSE(plan(body));
  http.headers.clear();
  http.headers.set("cache-control", "private, No-Store");
  EXPECT_FALSE(plan(body));
  for (const char* value : {"no-cache", "max-age=0"}) {
    http.headers.set("cache-control", value);
    ASSERT_TRUE(plan(body)) << value;
    EXPECT_TRUE(plan(body)->fresh);
    EXPECT_NE(plan(body)->flight, plan(body)->flight);  // none is joined
    EXPECT_EQ(plan(body)->key, plan(body)->key);        // but it is kept for others
  }
  http.headers.clear();
  EXPECT_FALSE(plan(body)->fresh);
  EXPECT_EQ(plan(body)->flight, plan(body)->flight);
}

TEST_F(CachePlanTest, TheKeyHoldsWhatDecidesAboutTheAnswer) {
  auto base = key(R"({"temperature":0,"model":"m","a":1})");
  EXPECT_EQ(key(R"({"a":1.0,"model":"m","user":"me","temperature":0})"), base);
  EXPECT_EQ(key(R"({"a":1,"model":"m","temperature":0,"stream":false})"), base);
  EXPECT_EQ(key(R"({"a":1,"model":"m","temperature":0,"stream_options":{}})"), base);
  EXPECT_NE(key(R"({"a":2,"model":"m","temperature":0})"), base);
  EXPECT_NE(key(R"({"a":1,"model":"n","temperature":0})"), base);
  EXPECT_NE(key(R"({"a":1,"model":"m","temperature":0,"seed":1})"), base);
  EXPECT_NE(key(R"({"a":1,"model":"m","temperature":0,"stream":true})"), base);
  http.headers.set("x-corral-cache", "on");
  EXPECT_NE(key(R"({"a":1,"model":"m","temperature":0})", Operation::completion), base);
  EXPECT_EQ(key(R"({"a":1,"model":"m","temperature":0})"), base);
}

TEST_F(CachePlanTest, AStreamHoldsWhatItsOptionsSay) {
  auto plain = key(R"({"temperature":0,"stream":true})");
  auto usage = key(R"({"temperature":0,"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_NE(plain, usage);
}

TEST_F(CachePlanTest, TheKeyHoldsWhatTheRouteLeadsTo) {
  constexpr std::string_view body = R"({"temperature":0})";
  auto base = key(body);
  spec.settings.name = "s";
  auto renamed = key(body);
  EXPECT_NE(renamed, base);
  spec.parameters = {{"seed", "1"}};
  auto with_parameter = key(body);
  EXPECT_NE(with_parameter, renamed);
  spec.groups.emplace_back();
  spec.groups[0].targets.push_back({"e", "m", 1, nullptr});
  auto with_target = key(body);
  EXPECT_NE(with_target, with_parameter);
  spec.groups[0].targets[0].model = "other";
  EXPECT_NE(key(body), with_target);
}

TEST_F(CachePlanTest, NobodyWaitsBehindALowerPriority) {
  constexpr std::string_view body = R"({"temperature":0})";
  auto low = plan(body, Operation::chat, Priority::low);
  auto high = plan(body, Operation::chat, Priority::high);
  EXPECT_EQ(low->key, high->key);
  EXPECT_NE(low->flight, high->flight);
}

TEST_F(CachePlanTest, AmbiguousAndHugeBodiesAreLeftAlone) {
  EXPECT_FALSE(plan(R"({"temperature":0,"x":{"a":1,"a":2}})"));
  std::string huge = R"({"temperature":0,"x":")" + std::string(5u << 20, 'x') + "\"}";
  EXPECT_FALSE(plan(huge));
}

}  // namespace
}  // namespace corral::api::openai::cache_plan_test

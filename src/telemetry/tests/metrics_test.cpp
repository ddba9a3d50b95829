#include "telemetry/metrics.hpp"

#include <gtest/gtest.h>
#include <string>
#include <thread>

namespace corral::telemetry::metrics_test {
namespace {

bool has(const std::string& text, std::string_view line) {
  return text.find(std::string(line) + "\n") != std::string::npos;
}

TEST(Metrics, CountersOfOneNameAndLabelsAreOne) {
  Metrics metrics;
  auto first = metrics.counter("requests_total", "Requests.", {{"model", "tiny"}, {"code", "200"}});
  auto same = metrics.counter("requests_total", "Requests.", {{"code", "200"}, {"model", "tiny"}});
  auto other = metrics.counter("requests_total", "Requests.", {{"code", "500"}, {"model", "tiny"}});
  first.add();
  same.add(2);
  EXPECT_EQ(first.value(), 3);
  EXPECT_EQ(other.value(), 0);
  std::string text = metrics.expose();
  EXPECT_TRUE(has(text, "# HELP requests_total Requests.")) << text;
  EXPECT_TRUE(has(text, "# TYPE requests_total counter"));
  EXPECT_TRUE(has(text, R"(requests_total{code="200",model="tiny"} 3)"));
  EXPECT_TRUE(has(text, R"(requests_total{code="500",model="tiny"} 0)"));
}

TEST(Metrics, GaugesMoveBothWays) {
  Metrics metrics;
  auto gauge = metrics.gauge("in_flight", "Requests under way.");
  gauge.set(5);
  gauge.add();
  gauge.sub(3);
  EXPECT_EQ(gauge.value(), 3);
  EXPECT_TRUE(has(metrics.expose(), "in_flight 3"));
}

TEST(Metrics, HistogramsCountByBucket) {
  Metrics metrics;
  auto histogram = metrics.histogram("latency_seconds", "Time.", {{"m", "x"}}, {0.1, 1});
  histogram.observe(0.05);
  histogram.observe(0.5);
  histogram.observe(5);
  std::string text = metrics.expose();
  EXPECT_TRUE(has(text, R"(latency_seconds_bucket{m="x",le="0.1"} 1)")) << text;
  EXPECT_TRUE(has(text, R"(latency_seconds_bucket{m="x",le="1"} 2)"));
  EXPECT_TRUE(has(text, R"(latency_seconds_bucket{m="x",le="+Inf"} 3)"));
  EXPECT_TRUE(has(text, R"(latency_seconds_count{m="x"} 3)"));
}

TEST(Metrics, FamiliesComeInOrderOfName) {
  Metrics metrics;
  metrics.gauge("b_gauge", "");
  metrics.counter("c_total", "");
  metrics.counter("a_total", "");
  std::string text = metrics.expose();
  EXPECT_LT(text.find("a_total"), text.find("b_gauge"));
  EXPECT_LT(text.find("b_gauge"), text.find("c_total"));
}

TEST(Metrics, LabelValuesAreEscaped) {
  Metrics metrics;
  metrics.counter("x_total", "", {{"name", "a\"b\\c\nd"}}).add();
  EXPECT_TRUE(has(metrics.expose(), R"(x_total{name="a\"b\\c\nd"} 1)"));
}

TEST(Metrics, RefreshersRunBeforeEachExposition) {
  Metrics metrics;
  auto gauge = metrics.gauge("memory_bytes", "");
  int calls = 0;
  metrics.on_collect([&] {
    gauge.set(++calls);
    metrics.counter("made_inside_total", "");  // takes no lock that expose() still holds
  });
  EXPECT_TRUE(has(metrics.expose(), "memory_bytes 1"));
  EXPECT_TRUE(has(metrics.expose(), "memory_bytes 2"));
}

// Misuse is a BUG(): it ends a debug build, and does no harm in a release.
TEST(MetricsDeathTest, ANameWithTwoTypesIsABug) {
  Metrics metrics;
  metrics.counter("twice", "").add(7);
  EXPECT_DEBUG_DEATH(metrics.gauge("twice", "").set(1), "metric twice is used with two types");
  EXPECT_DEBUG_DEATH(metrics.histogram("twice", "", {}, {1}).observe(1), "metric twice");
  EXPECT_TRUE(has(metrics.expose(), "twice 7"));
}

TEST(MetricsDeathTest, ABadNameIsABug) {
  Metrics metrics;
  EXPECT_DEBUG_DEATH(metrics.counter("no spaces", "").add(), "metric no spaces is refused");
  EXPECT_DEBUG_DEATH(metrics.histogram("fine_name", "", {{"bad label", "x"}}, {1}).observe(1),
                     "metric fine_name is refused");
  EXPECT_EQ(metrics.expose().find("spaces"), std::string::npos);
}

TEST(Metrics, CountFromManyThreads) {
  Metrics metrics;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        auto counter = metrics.counter("shared_total", "");
        for (int i = 0; i < 10000; ++i) counter.add();
      });
    }
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(metrics.expose().find("# EOF"), std::string::npos);  // collects meanwhile
    }
  }
  EXPECT_EQ(metrics.counter("shared_total", "").value(), 40000);
}

TEST(Metrics, LatencyBucketsRiseFromHalfAMillisecondToAMinute) {
  const auto& buckets = latency_buckets();
  EXPECT_EQ(buckets.front(), 0.0005);
  EXPECT_EQ(buckets.back(), 60);
  EXPECT_TRUE(std::ranges::is_sorted(buckets));
}

}  // namespace
}  // namespace corral::telemetry::metrics_test

// How much each model was used, day by day, and what measurements of it said.
//
// Requests are counted by whoever serves them and come here in batches. A model is called here as
// clients call it, so the history of a name outlives the files behind it.
//
// Thread rule: thread-safe; calls block. Lifecycle: the database and the clock outlive it.
// Example:
//   UsageHistory history(*database, clock);
//   CORRAL_CHECK(history.note({{.model = "llama3.2:3b", .requests = 4, .completion_tokens =
//   812}})); CORRAL_TRY(auto warm, history.most_used(5));
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::models {

struct ModelUse {
  std::string model;
  std::uint64_t requests = 0;  // that were answered
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
};

struct UsageTotal {
  ModelUse use;
  sys::Wall last_used;
};

struct UsageDay {
  std::chrono::sys_days day;  // UTC
  ModelUse use;
};

struct BenchmarkResult {
  std::int64_t id = 0;
  std::string body;  // a JSON object, as it was put
  sys::Wall measured;
};

class UsageHistory {
 public:
  static constexpr int kRecentDays = 14;      // what `most_used` and `total` look at
  static constexpr int kKeptDays = 400;       // older ones are forgotten
  static constexpr int kKeptBenchmarks = 50;  // of a model
  static constexpr std::size_t kLargestBody = 256u << 10;

  UsageHistory(store::Database& database, const sys::Clock& clock)
      : database_(database), clock_(clock) {}

  // Adds to today; all or nothing. A model may stand there several times.
  Result<void> note(const std::vector<ModelUse>& uses);

  // Of the last kRecentDays, most requests first, and of equals the one used last.
  Result<std::vector<UsageTotal>> most_used(int limit);
  Result<UsageTotal> total(const std::string& model);  // zeros when it was never used
  Result<std::vector<UsageDay>> days(const std::string& model, int limit);  // newest first

  // Forgets what is older than kKeptDays.
  Result<void> forget_old();

  // `body` is a JSON object (invalid_argument otherwise). Gives its number.
  Result<std::int64_t> add_benchmark(const std::string& model, const std::string& body);
  Result<std::vector<BenchmarkResult>> benchmarks(const std::string& model,
                                                  int limit);  // newest first

 private:
  store::Database& database_;
  const sys::Clock& clock_;
};

// The statements that read many rows, so that tests can look at the plans of these very texts.
// (The empty text keeps SQLite from reading all of history in the order of models, which would save
// it the grouping.)
inline constexpr std::string_view kMostUsed =
    "select model || '', cast(sum(requests) as {int}), cast(sum(prompt_tokens) as {int}), "
    "cast(sum(completion_tokens) as {int}), max(last_used_ms) from model_usage where day >= $1 "
    "group by 1 order by 2 desc, 5 desc, 1 limit $2";
inline constexpr std::string_view kUsageDays =
    "select day, requests, prompt_tokens, completion_tokens from model_usage where model = $1 "
    "order by day desc limit $2";
inline constexpr std::string_view kListBenchmarks =
    "select id, body, measured_ms from model_benchmarks where model = $1 order by id desc limit $2";

}  // namespace corral::models

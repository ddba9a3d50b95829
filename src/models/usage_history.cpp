#include "models/usage_history.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <map>

#include "base/json.hpp"
#include "base/text.hpp"
#include "store/rows.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::RowReader;
using store::Rows;

namespace {

constexpr int kMostRows = 1000;

std::int64_t day_number(sys::Wall time) {
  return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
}

std::int64_t count(std::uint64_t value) {
  return static_cast<std::int64_t>(std::min<std::uint64_t>(value, INT64_MAX / 2));
}

std::uint64_t read_count(RowReader& read) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(read.integer(), 0));
}

Result<void> check_limit(int limit) {
  if (limit >= 1 && limit <= kMostRows) return {};
  return fail(ErrorCode::invalid_argument, fmt::format("the limit must lie in 1 to {}", kMostRows))
      .field("limit");
}

}  // namespace

Result<void> UsageHistory::note(const std::vector<ModelUse>& uses) {
  std::map<std::string_view, ModelUse> sums;
  for (const ModelUse& use : uses) {
    // The store takes no other text; such a name is no model's.
    if (use.model.empty() || !is_utf8(use.model) || use.model.contains('\0')) continue;
    ModelUse& sum = sums[use.model];
    sum.requests += use.requests;
    sum.prompt_tokens += use.prompt_tokens;
    sum.completion_tokens += use.completion_tokens;
  }
  if (sums.empty()) return {};
  std::int64_t day = day_number(clock_.wall());
  std::int64_t now = store::to_milliseconds(clock_.wall());
  return database_.transact([&](Connection& connection) -> Result<void> {
    // In the order of names, so that two processes never wait for each other.
    for (const auto& [model, use] : sums) {
      CORRAL_CHECK(connection.run(
          "insert into model_usage (model, day, requests, prompt_tokens, completion_tokens, "
          "last_used_ms) values ($1, $2, $3, $4, $5, $6) on conflict (model, day) do update set "
          "requests = model_usage.requests + excluded.requests, "
          "prompt_tokens = model_usage.prompt_tokens + excluded.prompt_tokens, "
          "completion_tokens = model_usage.completion_tokens + excluded.completion_tokens, "
          "last_used_ms = excluded.last_used_ms",
          {model, day, count(use.requests), count(use.prompt_tokens), count(use.completion_tokens),
           now}));
    }
    return {};
  });
}

Result<std::vector<UsageTotal>> UsageHistory::most_used(int limit) {
  CORRAL_CHECK(check_limit(limit));
  CORRAL_TRY(Rows rows,
             database_.run(kMostUsed, {day_number(clock_.wall()) - kRecentDays + 1, limit}));
  std::vector<UsageTotal> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    UsageTotal total;
    total.use.model = read.text();
    total.use.requests = read_count(read);
    total.use.prompt_tokens = read_count(read);
    total.use.completion_tokens = read_count(read);
    total.last_used = read.time();
    CORRAL_CHECK(read.done());
    found.push_back(std::move(total));
  }
  return found;
}

Result<UsageTotal> UsageHistory::total(const std::string& model) {
  CORRAL_TRY(Rows rows,
             database_.run("select requests, prompt_tokens, completion_tokens, last_used_ms "
                           "from model_usage where model = $1 and day >= $2",
                           {model, day_number(clock_.wall()) - kRecentDays + 1}));
  UsageTotal total;
  total.use.model = model;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    total.use.requests += read_count(read);
    total.use.prompt_tokens += read_count(read);
    total.use.completion_tokens += read_count(read);
    total.last_used = std::max(total.last_used, read.time());
    CORRAL_CHECK(read.done());
  }
  return total;
}

Result<std::vector<UsageDay>> UsageHistory::days(const std::string& model, int limit) {
  CORRAL_CHECK(check_limit(limit));
  CORRAL_TRY(Rows rows, database_.run(kUsageDays, {model, limit}));
  std::vector<UsageDay> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    UsageDay day;
    day.day = std::chrono::sys_days(std::chrono::days(read.integer()));
    day.use.model = model;
    day.use.requests = read_count(read);
    day.use.prompt_tokens = read_count(read);
    day.use.completion_tokens = read_count(read);
    CORRAL_CHECK(read.done());
    found.push_back(std::move(day));
  }
  return found;
}

Result<void> UsageHistory::forget_old() {
  CORRAL_CHECK(database_.run("delete from model_usage where day < $1",
                             {day_number(clock_.wall()) - kKeptDays}));
  return {};
}

Result<std::int64_t> UsageHistory::add_benchmark(const std::string& model,
                                                 const std::string& body) {
  if (body.size() > kLargestBody)
    return fail(ErrorCode::too_large, fmt::format("a result is larger than {} bytes", kLargestBody))
        .field("body");
  CORRAL_TRY(auto parsed, json::parse(body));
  if (!parsed.is_object())
    return fail(ErrorCode::invalid_argument, "the result is not a JSON object").field("body");
  return database_.transact([&](Connection& connection) -> Result<std::int64_t> {
    CORRAL_TRY(Rows made, connection.run("insert into model_benchmarks (model, measured_ms, body) "
                                         "values ($1, $2, $3) returning id",
                                         {model, store::to_milliseconds(clock_.wall()), body}));
    CORRAL_TRY(std::int64_t id, made.single_integer());
    CORRAL_CHECK(connection.run(
        "delete from model_benchmarks where model = $1 and id <= (select id from model_benchmarks "
        "where model = $1 order by id desc limit 1 offset $2)",
        {model, kKeptBenchmarks}));
    return id;
  });
}

Result<std::vector<BenchmarkResult>> UsageHistory::benchmarks(const std::string& model, int limit) {
  CORRAL_CHECK(check_limit(limit));
  CORRAL_TRY(Rows rows, database_.run(kListBenchmarks, {model, limit}));
  std::vector<BenchmarkResult> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    BenchmarkResult result{.id = read.integer(), .body = read.text(), .measured = read.time()};
    CORRAL_CHECK(read.done());
    found.push_back(std::move(result));
  }
  return found;
}

}  // namespace corral::models

#include "gateway/learned_work.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "base/text.hpp"
#include "store/rows.hpp"
#include "store/value.hpp"

namespace corral::gateway {

using inference::Operation;
using store::Connection;
using store::RowReader;
using store::Rows;

namespace {

std::optional<Operation> operation_of(std::string_view name) {
  for (auto each : {Operation::chat, Operation::completion, Operation::embedding}) {
    if (inference::to_string(each) == name) return each;
  }
  return std::nullopt;
}

// The store takes no other text.
bool is_storable(const std::string& name) { return is_utf8(name) && !name.contains('\0'); }

}  // namespace

Result<void> LearnedWorkStore::put(const std::vector<LearnedWork>& learned) {
  // In the order of names, so that two processes never wait for each other.
  std::map<std::pair<std::string_view, std::string_view>, const LearnedWork*> sorted;
  for (const auto& each : learned) {
    if (is_storable(each.endpoint) && is_storable(each.model)) {
      sorted[{each.endpoint, each.model}] = &each;
    }
  }
  if (sorted.empty()) return {};
  const std::int64_t now = store::to_milliseconds(clock_.wall());
  return database_.transact([&](Connection& connection) -> Result<void> {
    for (const auto& [names, target] : sorted) {
      CORRAL_CHECK(connection.run(
          "delete from learned_work where machine = $1 and endpoint = $2 and model = $3",
          {machine_, target->endpoint, target->model}));
      for (const auto& kind : target->estimate.kept()) {
        const auto requests =
            static_cast<std::int64_t>(std::min<std::uint64_t>(kind.requests, INT64_MAX));
        CORRAL_CHECK(connection.run(
            "insert into learned_work (machine, endpoint, model, operation, streamed, place, "
            "requests, mean_kib, mean_seconds, spread, together, deviation, learned_ms) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            {machine_, target->endpoint, target->model, inference::to_string(kind.operation),
             kind.stream ? 1 : 0, target->place, requests, kind.mean_kib, kind.mean_seconds,
             kind.spread, kind.together, kind.deviation, now}));
      }
    }
    return {};
  });
}

Result<std::vector<LearnedWork>> LearnedWorkStore::all() {
  CORRAL_TRY(Rows rows, database_.run(kListLearned, {machine_, kMost}));
  std::vector<LearnedWork> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    std::string endpoint = read.text();
    std::string model = read.text();
    std::string place = read.text();
    const auto operation = operation_of(read.text());
    WorkEstimate::Kept kind;
    kind.stream = read.integer() != 0;
    kind.requests = static_cast<std::uint64_t>(std::max<std::int64_t>(read.integer(), 0));
    kind.mean_kib = read.real();
    kind.mean_seconds = read.real();
    kind.spread = read.real();
    kind.together = read.real();
    kind.deviation = read.real();
    CORRAL_CHECK(read.done());
    WorkEstimate alone;
    kind.operation = operation.value_or(Operation::chat);
    if (!operation || !alone.restore(kind)) continue;
    if (found.empty() || found.back().endpoint != endpoint || found.back().model != model) {
      found.push_back({std::move(endpoint), std::move(model), std::move(place), {}});
    }
    found.back().estimate.restore(kind);
  }
  return found;
}

Result<void> LearnedWorkStore::forget_old() {
  const auto oldest = clock_.wall() - std::chrono::days(kKeptDays);
  CORRAL_CHECK(database_.run(kForgetLearned, {store::to_milliseconds(oldest)}));
  return {};
}

}  // namespace corral::gateway

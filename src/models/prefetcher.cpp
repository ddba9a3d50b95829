#include "models/prefetcher.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json.hpp"
#include "models/sync.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

constexpr const char* kRecord = "prefetch.json";
constexpr int kLooked = 20;  // of the most used

std::int64_t to_seconds(sys::Wall time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::map<std::string, sys::Wall> read_record(const std::string& text) {
  std::map<std::string, sys::Wall> asked;
  auto document = json::parse(text);
  if (!document || !document->is_object()) return asked;
  for (const auto& [name, seconds] : document->get_object()) {
    if (seconds.is_int64()) {
      asked.emplace(name, sys::Wall(std::chrono::seconds(seconds.get_int64())));
    }
  }
  return asked;
}

unsigned days_of_use(const std::vector<UsageDay>& days) {
  return static_cast<unsigned>(
      std::ranges::count_if(days, [](const auto& day) { return day.use.requests > 0; }));
}

}  // namespace

net::Task<void> Prefetcher::recall() {
  std::function<Result<std::string>()> read = [this] { return parts_.blobs.read_record(kRecord); };
  auto text = co_await net::run_blocking(parts_.pool, std::move(read));
  if (text) prefetch_ = Prefetch(read_record(*text));
  recalled_ = true;
}

net::Task<void> Prefetcher::remember() {
  bj::object document;
  for (const auto& [name, time] : prefetch_.asked()) {
    // What is older than a day says nothing any more.
    if (parts_.clock.wall() - time < 2 * Prefetch::kEvery) document[name] = to_seconds(time);
  }
  std::function<Result<void>()> write = [this, text = json::serialize(document)] {
    return parts_.blobs.write_record(kRecord, text);
  };
  auto written = co_await net::run_blocking(parts_.pool, std::move(write));
  if (!written) {
    parts_.log.warn("when models were looked for cannot be noted",
                    {{"error", written.error().describe()}});
  }
}

net::Task<Result<std::vector<PrefetchModel>>> Prefetcher::used_models() {
  std::function<Result<std::vector<PrefetchModel>>()> work =
      [this]() -> Result<std::vector<PrefetchModel>> {
    CORRAL_TRY(auto totals, parts_.history.most_used(kLooked));
    CORRAL_TRY(auto here, models_here(parts_.catalog));
    const auto oldest = std::chrono::floor<std::chrono::days>(parts_.clock.wall()) -
                        std::chrono::days(UsageHistory::kRecentDays);
    std::vector<PrefetchModel> used;
    for (const auto& total : totals) {
      auto found = std::ranges::find(here, total.use.model, &HereModel::name);
      if (found == here.end()) continue;
      CORRAL_TRY(auto days, parts_.history.days(total.use.model, UsageHistory::kRecentDays));
      std::erase_if(days, [&](const auto& day) { return day.day < oldest; });
      used.push_back({*found, total.use.requests, days_of_use(days)});
    }
    return used;
  };
  co_return co_await net::run_blocking(parts_.pool, std::move(work));
}

net::Task<void> Prefetcher::look(bool busy) {
  if (!recalled_) co_await recall();
  bool pulling = std::ranges::any_of(parts_.pulls.list(), [](const auto& pull) {
    return pull.state == PullState::running || pull.state == PullState::queued;
  });
  const PrefetchView view{busy, pulling};
  const auto now = parts_.clock.wall();
  if (!prefetch_.quiet(view, now)) co_return;
  // All of the catalog and its use is read for it, so not at every look.
  if (now < rests_until_ && rests_until_ - now <= kRest) co_return;
  auto used = co_await used_models();
  if (!used) {
    parts_.log.warn("the use of models cannot be read", {{"error", used.error().describe()}});
    co_return;
  }
  auto due = prefetch_.due(std::move(*used), now);
  if (due.empty()) {
    rests_until_ = now + kRest;
    co_return;
  }
  // One a look: between two of them somebody may have begun to work.
  co_await ask(std::move(due.front()));
}

net::Task<void> Prefetcher::ask(PrefetchDue due) {
  const std::string name = due.model.name;
  prefetch_.asked(name, parts_.clock.wall());
  co_await remember();
  auto there = co_await parts_.pulls.plan(due.model.origin);
  if (!there) {
    parts_.log.info("prefetch: the source does not answer",
                    {{"model", name}, {"error", there.error().describe()}});
    co_return;
  }
  std::function<std::uint64_t()> look = [this] { return parts_.blobs.spare(); };
  auto spare = co_await net::run_blocking(parts_.pool, std::move(look));
  auto verdict = judge_newer(*there, due.model, spare);
  if (!verdict.fetch) {
    parts_.log.info("prefetch: nothing is fetched",
                    {{"model", name}, {"used", due.why}, {"why", verdict.why}});
    co_return;
  }
  auto begun = co_await parts_.pulls.pull({due.model.origin, name, kAuthor});
  parts_.log.info("prefetch: fetching", {{"model", name},
                                         {"used", due.why},
                                         {"why", verdict.why},
                                         {"pull", begun ? begun->id : std::string()},
                                         {"error", begun ? "" : begun.error().describe()}});
}

}  // namespace corral::models

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

// {"asked": {"name": seconds}, "gave_way": ["pull-..."]}; what is damaged is left out.
Prefetch read_record(const std::string& text) {
  std::map<std::string, sys::Wall> asked;
  std::set<std::string> gave_way;
  auto document = json::parse(text);
  const auto* record = document ? document->if_object() : nullptr;
  if (record == nullptr) return Prefetch();
  const auto* times = record->if_contains("asked");
  if (times != nullptr && times->is_object()) {
    for (const auto& [name, seconds] : times->get_object()) {
      if (!seconds.is_int64()) continue;
      asked.emplace(name, sys::Wall(std::chrono::seconds(seconds.get_int64())));
    }
  }
  const auto* pulls = record->if_contains("gave_way");
  if (pulls != nullptr && pulls->is_array()) {
    for (const auto& id : pulls->get_array()) {
      if (id.is_string()) gave_way.emplace(id.get_string());
    }
  }
  return Prefetch(std::move(asked), std::move(gave_way));
}

unsigned days_of_use(const std::vector<UsageDay>& days) {
  return static_cast<unsigned>(
      std::ranges::count_if(days, [](const auto& day) { return day.use.requests > 0; }));
}

}  // namespace

net::Task<void> Prefetcher::recall() {
  std::function<Result<std::string>()> read = [this] { return parts_.blobs.read_record(kRecord); };
  auto text = co_await net::run_blocking(parts_.pool, std::move(read));
  if (text) prefetch_ = read_record(*text);
  recalled_ = true;
}

net::Task<void> Prefetcher::remember() {
  bj::object asked;
  for (const auto& [name, time] : prefetch_.asked()) {
    // What is older than a day says nothing any more.
    if (parts_.clock.wall() - time < 2 * Prefetch::kEvery) asked[name] = to_seconds(time);
  }
  bj::array gave_way;
  for (const auto& id : prefetch_.gave_way()) gave_way.emplace_back(id);
  bj::object document{{"asked", std::move(asked)}, {"gave_way", std::move(gave_way)}};
  std::function<Result<void>()> write = [this, text = json::serialize(document)] {
    return parts_.blobs.write_record(kRecord, text);
  };
  auto written = co_await net::run_blocking(parts_.pool, std::move(write));
  if (!written) {
    parts_.log.warn("what was fetched ahead cannot be noted",
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

PrefetchView Prefetcher::view_of(const Moment& moment) const {
  PrefetchView view{moment.busy, false, {}, moment.quiet};
  for (const auto& pull : parts_.pulls.list()) {
    bool going = pull.state == PullState::running || pull.state == PullState::queued;
    if (pull.author != kPrefetchAuthor) {
      view.pulling = view.pulling || going;
    } else if (going || pull.state == PullState::paused) {
      view.own.push_back({pull.id, going});
    }
  }
  return view;
}

// Whatever else was done with such a pull meanwhile is seen at the next look.
net::Task<void> Prefetcher::give_way(PrefetchTurn turn) {
  // First, so that a pull that is found paused after a crash goes on.
  if (!turn.pause.empty()) co_await remember();
  for (const auto& id : turn.pause) {
    auto done = co_await parts_.pulls.act(id, PullAction::pause);
    if (done) parts_.log.info("prefetch: paused, there is other work", {{"pull", id}});
  }
  if (!turn.resume) co_return;
  auto done = co_await parts_.pulls.act(*turn.resume, PullAction::resume);
  if (done) parts_.log.info("prefetch: goes on", {{"pull", *turn.resume}});
  co_await remember();
}

net::Task<void> Prefetcher::look(Moment moment) {
  if (!recalled_) co_await recall();
  const auto now = parts_.clock.wall();
  auto turn = prefetch_.turn(view_of(moment), now);
  bool ask = turn.ask;
  co_await give_way(std::move(turn));
  // All of the catalog and its use is read for it, so not at every look.
  if (!ask || (now < rests_until_ && rests_until_ - now <= kRest)) co_return;
  co_await ask_next();
}

net::Task<void> Prefetcher::ask_next() {
  const auto now = parts_.clock.wall();
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
  // Somebody paused a pull of it: that one is theirs to resume.
  bool paused = std::ranges::any_of(parts_.pulls.list(), [&](const auto& pull) {
    return pull.reference == due.model.origin && pull.state == PullState::paused;
  });
  co_await remember();
  if (paused) co_return;
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
  auto begun = co_await parts_.pulls.pull({due.model.origin, name, std::string(kPrefetchAuthor)});
  parts_.log.info("prefetch: fetching", {{"model", name},
                                         {"used", due.why},
                                         {"why", verdict.why},
                                         {"pull", begun ? begun->id : std::string()},
                                         {"error", begun ? "" : begun.error().describe()}});
}

}  // namespace corral::models

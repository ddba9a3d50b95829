#include "app/source_parts.hpp"

#include <set>

namespace corral::app {
namespace {

constexpr std::size_t kSourceThreads = 3;
constexpr int kRanked = 20;  // of the models used most
constexpr std::chrono::seconds kWarmTick{1};
constexpr std::chrono::seconds kUseTick{10};
constexpr std::chrono::seconds kFreshTick{1};
constexpr std::chrono::seconds kDigestTick{1};

}  // namespace

SourceService::SourceService(Parts parts)
    : parts_(std::move(parts)),
      pool_(kSourceThreads),
      share_({parts_.models.catalog(), parts_.models.index(), parts_.models.blobs(),
              parts_.scheduler, pool_, parts_.clock}),
      admin_({parts_.pulls, parts_.models.catalog(), pool_, parts_.scheduler}),
      prefetcher_({parts_.pulls, parts_.models.catalog(), parts_.models.history(),
                   parts_.models.blobs(), pool_, parts_.clock, parts_.log.named("prefetch")}),
      digests_(parts_.models.index(), parts_.files, pool_, parts_.log.named("share")),
      tasks_(parts_.shards.control()) {}

void SourceService::add_routes(api::Router& router) {
  share_.add_routes(router);
  admin_.add_routes(router);
}

void SourceService::start(std::shared_ptr<const config::Settings> settings) {
  reload(std::move(settings));
  tasks_.spawn(keep_warm());
  tasks_.spawn(keep_fresh());
  tasks_.spawn(keep_digests());
}

void SourceService::reload(std::shared_ptr<const config::Settings> settings) {
  settings_ = std::move(settings);
  share_.set_enabled(settings_->models.share);
}

net::Task<void> SourceService::stop() { co_await tasks_.close(); }

// --- loading what is used most -------------------------------------------------------------------

// The names that clients used, most used first; read anew every few seconds.
net::Task<void> SourceService::read_use() {
  auto now = parts_.clock.now();
  if (used_at_ && now - *used_at_ < kUseTick) co_return;
  using Totals = std::vector<models::UsageTotal>;
  std::function<Result<Totals>()> work = [this] {
    return parts_.models.history().most_used(kRanked);
  };
  auto used = co_await net::run_blocking(pool_, std::move(work));
  used_at_ = now;
  if (used) {
    used_ = std::move(*used);
  } else {
    parts_.log.warn("the use of models cannot be read", {{"error", used.error().describe()}});
  }
}

// The models behind those names.
scheduler::WarmupView SourceService::view_of(const scheduler::Outlook& outlook) const {
  scheduler::WarmupView view;
  view.busy = outlook.busy;
  std::set<std::string> seen;
  for (const auto& each : used_) {
    const auto* status = outlook.catalog->find(each.use.model);
    const auto* entry =
        status != nullptr && outlook.models ? outlook.models->find(status->name) : nullptr;
    if (entry == nullptr || !entry->usable() || !seen.insert(entry->name).second) continue;
    view.ranked.push_back({entry->name, outlook.loaded.contains(entry->name),
                           outlook.put_away.contains(entry->name)});
  }
  return view;
}

net::Task<void> SourceService::warm_next() {
  co_await read_use();
  auto outlook = co_await parts_.scheduler.outlook();
  auto view = view_of(outlook);
  auto now = parts_.clock.now();
  while (auto name = warmup_.next(view, now)) {
    auto answer = co_await parts_.scheduler.warm(*name);
    auto what = scheduler::WarmupAnswer::failed;
    if (answer) {
      what = *answer == scheduler::Warmed::begun    ? scheduler::WarmupAnswer::begun
             : *answer == scheduler::Warmed::loaded ? scheduler::WarmupAnswer::loaded
                                                    : scheduler::WarmupAnswer::no_room;
    } else {
      parts_.log.warn("a model that is used often cannot be loaded",
                      {{"model", *name}, {"error", answer.error().describe()}});
    }
    warmup_.answered(*name, what, now);
    if (what != scheduler::WarmupAnswer::begun) continue;
    parts_.log.info("loading a model ahead of requests: it is among those used most",
                    {{"model", *name}});
    break;  // the next one when this one is there
  }
  parts_.scheduler.keep_warm(warmup_.kept(view));
  kept_ = true;
}

net::Task<void> SourceService::keep_warm() {
  do {
    if (settings_->models.preload_frequent) {
      co_await warm_next();
    } else if (kept_) {
      warmup_.reset();
      parts_.scheduler.keep_warm({});
      kept_ = false;
    }
  } while (co_await net::sleep_for(kWarmTick));
}

// --- fetching newer versions of what is used most ------------------------------------------------

net::Task<void> SourceService::keep_fresh() {
  while (co_await net::sleep_for(kFreshTick)) {
    // Switched off while a pull that it began is paused: that one waits for `resume`.
    if (!settings_->downloads.prefetch) continue;
    auto outlook = co_await parts_.scheduler.outlook();
    // Between two looks many a short request begins and ends.
    bool busy = outlook.busy || outlook.served != served_;
    served_ = outlook.served;
    co_await prefetcher_.look({busy, settings_->downloads.prefetch_after});
  }
}

// --- digests of the models folder, for sharing ---------------------------------------------------

net::Task<void> SourceService::keep_digests() {
  do {
    if (!settings_->models.share) continue;
    auto outlook = co_await parts_.scheduler.outlook();
    if (outlook.models == looked_at_) continue;
    looked_at_ = outlook.models;
    co_await digests_.look(outlook.models);
  } while (co_await net::sleep_for(kDigestTick));
}

}  // namespace corral::app

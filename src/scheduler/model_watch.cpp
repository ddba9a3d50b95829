#include "scheduler/model_watch.hpp"

namespace corral::scheduler {
namespace {

constexpr std::chrono::milliseconds kDebounce{200};
constexpr std::chrono::seconds kPoll{10};

}  // namespace

ModelWatch::ModelWatch(net::Shard& control, net::BlockingPool& pool, telemetry::Logger log,
                       std::unique_ptr<models::ModelFolder> folder, std::vector<sys::Path> watched,
                       Changed changed)
    : pool_(pool),
      log_(std::move(log)),
      folder_(std::move(folder)),
      watched_(std::move(watched)),
      changed_(std::move(changed)),
      tasks_(control) {}

net::Task<Result<void>> ModelWatch::start() {
  // Watch first, then scan: what changes in between is seen.
  auto made = sys::FolderWatch::create(watched_);
  if (made) {
    watch_ = std::move(*made);
  } else {
    log_.warn("cannot watch the models folder; looking every 10 s instead",
              {{"error", made.error().describe()}});
  }
  CORRAL_CO_CHECK(co_await scan());
  tasks_.spawn(watch());
  co_return Result<void>{};
}

net::Task<void> ModelWatch::stop() { co_await tasks_.close(); }

net::Task<Result<void>> ModelWatch::scan() {
  std::function<Result<models::Snapshot>()> work = [folder = folder_.get()] {
    return folder->scan();
  };
  auto list = co_await net::run_blocking<Result<models::Snapshot>>(pool_, std::move(work));
  if (!list) co_return std::unexpected(std::move(list).error());
  report(**list);
  last_ = *list;
  changed_(std::move(*list));
  co_return Result<void>{};
}

void ModelWatch::report(const models::ModelList& list) {
  static const models::ModelList kNothing;
  const models::ModelList& before = last_ ? *last_ : kNothing;
  auto changes = models::changes_between(before, list);
  auto tell = [&](const std::vector<std::string>& names, std::string_view what) {
    for (const auto& name : names) {
      const auto* entry = list.find(name);
      if (entry != nullptr && entry->state == models::ModelState::unusable && entry->problem) {
        log_.warn("a model cannot be used",
                  {{"model", name}, {"error", entry->problem->describe()}});
      } else {
        log_.info(what, {{"model", name}});
      }
    }
  };
  tell(changes.added, "model found");
  tell(changes.changed, "model changed");
  tell(changes.removed, "model gone");
  for (const auto& warning : list.warnings()) {
    if (last_ == nullptr || !changes.empty()) log_.warn(warning);
  }
}

net::Task<void> ModelWatch::watch() {
  for (;;) {
    Result<void> woken;
    bool unfinished = last_ && last_->has_incomplete();
    if (watch_ == nullptr || unfinished) {
      auto pause = unfinished ? std::chrono::milliseconds(models::kSettled) : kPoll;
      woken = co_await net::sleep_for(pause);
    } else {
      woken = co_await net::wait_readable(watch_->fd());
    }
    if (!woken) co_return;
    // A file being copied changes many times a second: one scan answers them all.
    if (watch_ && !unfinished) {
      if (!watch_->drain()) continue;
      woken = co_await net::sleep_for(kDebounce);
      if (!woken) co_return;
      watch_->drain();
    }
    auto done = co_await scan();
    if (!done) log_.warn("cannot read the models folder", {{"error", done.error().describe()}});
  }
}

}  // namespace corral::scheduler

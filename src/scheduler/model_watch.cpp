#include "scheduler/model_watch.hpp"

namespace corral::scheduler {
namespace {

constexpr std::chrono::milliseconds kDebounce{200};
constexpr std::chrono::seconds kPoll{10};
constexpr std::size_t kMostTold = 50;  // models by name in the log; past it their number

}  // namespace

ModelWatch::ModelWatch(net::Shard& control, net::BlockingPool& pool, telemetry::Logger log,
                       std::unique_ptr<models::ModelFolder> folder, std::vector<sys::Path> watched,
                       models::ServedModels* served, Changed changed)
    : pool_(pool),
      log_(std::move(log)),
      folder_(std::move(folder)),
      watched_(std::move(watched)),
      served_(served),
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
  working_ = true;
  auto first = co_await look(Look::folder);
  working_ = false;
  if (!first) co_return first;
  tasks_.spawn(watch());
  if (catalog_wanted_) want(Look::catalog);
  co_return Result<void>{};
}

net::Task<void> ModelWatch::stop() { co_await tasks_.close(); }

void ModelWatch::refresh() { want(Look::catalog); }

void ModelWatch::want(Look look) {
  (look == Look::folder ? folder_wanted_ : catalog_wanted_) = true;
  if (working_) return;
  working_ = tasks_.spawn(work());
}

net::Task<void> ModelWatch::work() {
  while (folder_wanted_ || catalog_wanted_) {
    Look next = folder_wanted_ ? Look::folder : Look::catalog;
    folder_wanted_ = false;
    catalog_wanted_ = false;  // a look at the folder sees the catalog too
    auto done = co_await look(next);
    if (!done) log_.warn("cannot list the models", {{"error", done.error().describe()}});
  }
  working_ = false;
}

net::Task<Result<void>> ModelWatch::look(Look look) {
  std::function<Result<Looked>()> work = [folder = folder_.get(), served = served_, found = found_,
                                          look]() -> Result<Looked> {
    Looked result{.folder = found, .all = {}};
    if (look == Look::folder || !found) {
      CORRAL_TRY(result.folder, folder->scan());
    }
    result.all = result.folder;
    if (served != nullptr) {
      CORRAL_TRY(result.all, served->merge(*result.folder));
    }
    return result;
  };
  auto begun = std::chrono::steady_clock::now();
  auto looked = co_await net::run_blocking<Result<Looked>>(pool_, std::move(work));
  if (!looked) co_return std::unexpected(std::move(looked).error());
  std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
  log_.write(last_ ? telemetry::LogLevel::debug : telemetry::LogLevel::info, "models listed",
             {{"models", looked->all->entries().size()}, {"ms", took.count()}});
  found_ = std::move(looked->folder);
  report(*looked->all);
  last_ = looked->all;
  if (last_->has_incomplete() && !looking_again_) looking_again_ = tasks_.spawn(look_again());
  changed_(std::move(looked->all));
  co_return Result<void>{};
}

// A file that is being written needs another look, even if nothing on disk changes any more.
net::Task<void> ModelWatch::look_again() {
  auto slept = co_await net::sleep_for(std::chrono::milliseconds(models::kSettled));
  looking_again_ = false;
  if (slept) want(Look::folder);
}

void ModelWatch::report(const models::ModelList& list) {
  static const models::ModelList kNothing;
  const models::ModelList& before = last_ ? *last_ : kNothing;
  auto changes = models::changes_between(before, list);
  auto tell = [&](const std::vector<std::string>& names, std::string_view what) {
    bool many = names.size() > kMostTold;
    for (const auto& name : names) {
      const auto* entry = list.find_exact(name);
      if (entry != nullptr && entry->state == models::ModelState::unusable && entry->problem) {
        log_.warn("a model cannot be used",
                  {{"model", name}, {"error", entry->problem->describe()}});
      } else if (!many) {
        log_.info(what, {{"model", name}});
      }
    }
    if (many) log_.info(what, {{"models", names.size()}});
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
    if (watch_ == nullptr) {
      woken = co_await net::sleep_for(kPoll);
    } else {
      woken = co_await net::wait_readable(watch_->fd());
    }
    if (!woken) co_return;
    // A file being copied changes many times a second: one scan answers them all.
    if (watch_) {
      if (!watch_->drain()) continue;
      woken = co_await net::sleep_for(kDebounce);
      if (!woken) co_return;
      watch_->drain();
    }
    want(Look::folder);
  }
}

}  // namespace corral::scheduler

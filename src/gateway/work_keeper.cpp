#include "gateway/work_keeper.hpp"

namespace corral::gateway {

WorkKeeper::WorkKeeper(WorkKeeperParts parts) : parts_(std::move(parts)), tasks_(parts_.control) {}

net::Task<void> WorkKeeper::recall() {
  using Learned = std::vector<LearnedWork>;
  std::function<Result<Learned>()> work = [&store = parts_.store] { return store.all(); };
  auto learned = co_await net::run_blocking(parts_.pool, std::move(work));
  if (!learned) {
    parts_.log.warn("how long work takes is learned anew: what was known cannot be read",
                    {{"error", learned.error().describe()}});
    co_return;
  }
  parts_.registry.recall(std::move(*learned));
}

void WorkKeeper::start() { tasks_.spawn(keep()); }

net::Task<void> WorkKeeper::stop() {
  co_await tasks_.close();
  co_await save();
}

net::Task<void> WorkKeeper::keep() {
  while (co_await net::sleep_for(parts_.period)) co_await save();
}

net::Task<void> WorkKeeper::save() {
  for (auto& each : parts_.registry.take_learned()) {
    std::pair names{each.endpoint, each.model};
    unsaved_.insert_or_assign(std::move(names), std::move(each));
  }
  if (unsaved_.empty()) co_return;
  std::vector<LearnedWork> batch;
  batch.reserve(unsaved_.size());
  for (const auto& [names, each] : unsaved_) batch.push_back(each);
  std::function<Result<void>()> work = [&store = parts_.store, batch = std::move(batch)] {
    auto put = store.put(batch);
    return put ? store.forget_old() : put;
  };
  auto saved = co_await net::run_blocking(parts_.pool, std::move(work));
  if (saved) {
    unsaved_.clear();
  } else if (!failing_) {
    parts_.log.warn("how long work takes cannot be kept; tried again",
                    {{"error", saved.error().describe()}});
  }
  failing_ = !saved;
}

}  // namespace corral::gateway

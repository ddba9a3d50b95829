#include "scheduler/core/warmup.hpp"

#include <algorithm>

namespace corral::scheduler {

std::optional<std::string> Warmup::next(const WarmupView& view, sys::Steady now) {
  if (view.busy) {
    quiet_since_.reset();
    return std::nullopt;
  }
  // At the start there was no work before, so there is nothing to wait for.
  if (!quiet_since_) quiet_since_ = started_ ? now : now - kQuiet;
  started_ = true;
  if (now - *quiet_since_ < kQuiet) return std::nullopt;
  const std::size_t most = std::min(view.ranked.size(), kMost);
  for (std::size_t i = 0; i < most; ++i) {
    const auto& model = view.ranked[i];
    if (model.loaded || model.put_away) continue;
    auto tried = tried_.find(model.name);
    if (tried != tried_.end() && now - tried->second < kAgain) continue;
    return model.name;
  }
  return std::nullopt;
}

void Warmup::answered(const std::string& name, WarmupAnswer answer, sys::Steady now) {
  tried_[name] = now;
  // Its start is work; the next one comes at once when it is done, not after a quiet time.
  if (answer == WarmupAnswer::begun) started_ = false;
}

std::set<std::string> Warmup::kept(const WarmupView& view) const {
  std::set<std::string> names;
  const std::size_t most = std::min(view.ranked.size(), kMost);
  for (std::size_t i = 0; i < most; ++i) {
    if (!view.ranked[i].put_away) names.insert(view.ranked[i].name);
  }
  return names;
}

}  // namespace corral::scheduler

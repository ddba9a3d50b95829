#include "models/core/prefetch.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>

#include "base/text.hpp"

namespace corral::models {
namespace {

bool is_commit_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

}  // namespace

bool is_fixed_origin(std::string_view origin) {
  if (origin.find("#sha256=") != std::string_view::npos) return true;
  auto at = origin.rfind('@');
  if (at == std::string_view::npos) return false;
  auto revision = origin.substr(at + 1);
  return revision.size() == 40 && is_commit_text(revision);  // a commit; branches and tags may move
}

bool Prefetch::quiet(const PrefetchView& view, sys::Wall now) {
  if (view.busy || view.pulling) {
    quiet_since_.reset();
    return false;
  }
  if (!quiet_since_ || *quiet_since_ > now) quiet_since_ = now;  // the clock may be set back
  return now - *quiet_since_ >= kQuiet;
}

std::vector<PrefetchDue> Prefetch::due(std::vector<PrefetchModel> used, sys::Wall now) const {
  std::erase_if(used, [](const auto& each) {
    return each.days < kLeastDays || each.model.origin.empty() ||
           is_fixed_origin(each.model.origin);
  });
  std::ranges::sort(used, [](const auto& a, const auto& b) {
    return std::tie(b.requests, b.days, a.model.name) < std::tie(a.requests, a.days, b.model.name);
  });
  if (used.size() > kMost) used.resize(kMost);
  std::vector<PrefetchDue> found;
  for (auto& each : used) {
    auto last = asked_.find(each.model.name);
    bool recent = last != asked_.end() && last->second <= now && now - last->second < kEvery;
    if (recent) continue;
    auto why = fmt::format("{} requests on {} of the last 14 days", each.requests, each.days);
    found.push_back({std::move(each.model), std::move(why)});
  }
  return found;
}

NewerVerdict judge_newer(const RemoteModel& there, const HereModel& here, std::uint64_t free) {
  std::string source = there.origin.substr(0, there.origin.find_first_of(":/"));
  auto plan = plan_sync({there}, {here}, {std::move(source), {}});
  const auto* item = plan.items.empty() ? nullptr : &plan.items.front();
  for (const auto& each : plan.items) {
    if (each.reference == there.origin && each.state != SyncState::gone) item = &each;
  }
  if (item == nullptr || !item->fetched()) return {false, "the source has the same"};
  if (!item->bytes) return {false, "the source does not say how large it is"};
  // Twice: a model that is wanted later must find room, too.
  if (item->to_fetch > free / 2) {
    return {false, fmt::format("{} are to be fetched, and {} of the disk are free for downloads",
                               format_bytes(item->to_fetch), format_bytes(free))};
  }
  return {true,
          fmt::format("the source has other bytes, {} to fetch", format_bytes(item->to_fetch))};
}

}  // namespace corral::models

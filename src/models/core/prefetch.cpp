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

// What others did with the pulls meanwhile.
void Prefetch::look_at(const std::vector<PrefetchPull>& own) {
  std::set<std::string> paused;
  for (const auto& pull : own) {
    if (!pull.going) paused.insert(pull.id);
    if (pull.going && gave_way_.contains(pull.id)) taken_over_.insert(pull.id);
  }
  std::erase_if(gave_way_, [&](const auto& id) { return !paused.contains(id); });
  std::erase_if(taken_over_, [&](const auto& id) {
    return std::ranges::find(own, id, &PrefetchPull::id) == own.end();
  });
}

PrefetchTurn Prefetch::turn(const PrefetchView& view, sys::Wall now) {
  look_at(view.own);
  PrefetchTurn turn;
  if (view.busy || view.pulling) {
    quiet_since_.reset();
    for (const auto& pull : view.own) {
      if (!pull.going || taken_over_.contains(pull.id)) continue;
      gave_way_.insert(pull.id);
      turn.pause.push_back(pull.id);
    }
    return turn;
  }
  if (!quiet_since_ || *quiet_since_ > now) quiet_since_ = now;  // the clock may be set back
  if (now - *quiet_since_ < view.quiet) return turn;
  // One at a time.
  if (std::ranges::any_of(view.own, &PrefetchPull::going)) return turn;
  if (gave_way_.empty()) {
    turn.ask = true;
  } else {
    turn.resume = *gave_way_.begin();
    gave_way_.erase(gave_way_.begin());
  }
  return turn;
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

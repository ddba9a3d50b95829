// What people are told about waiting and refusals.
#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "scheduler/core/placement.hpp"

namespace corral::scheduler {
namespace {

constexpr std::size_t kNamed = 5;  // units in one message

std::string named(std::vector<std::string> names) {
  auto more = names.size() > kNamed ? names.size() - kNamed : 0;
  if (more > 0) names.resize(kNamed);
  return join(names, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

std::string size(std::int64_t bytes) {
  return format_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)));
}

}  // namespace

std::string Placement::holders(AccountId account, UnitId except) const {
  std::vector<std::string> names;
  for (UnitId id = 0; id < units_.size(); ++id) {
    if (id == except) continue;
    for (const auto& part : units_[id].held) {
      if (part.account != account) continue;
      names.push_back(account == kCount
                          ? units_[id].spec.name
                          : fmt::format("{} ({})", units_[id].spec.name, size(part.bytes)));
    }
  }
  return named(std::move(names));
}

bool Placement::can_fit(const Unit& unit) const {
  return std::ranges::any_of(unit.places, [&](const Parts& parts) {
    return std::ranges::all_of(parts, [&](const Part& part) {
      return part.account < accounts_.size() &&
             part.bytes <= accounts_[part.account].budget - accounts_[part.account].pinned;
    });
  });
}

// Why no place can ever hold it: what is wrong with the one that it would like best.
Error Placement::never_fits(const Unit& unit) const {
  auto refused = [](std::string message, std::string hint) {
    return fail(ErrorCode::unavailable, std::move(message)).hint(std::move(hint)).field("model");
  };
  if (unit.places.empty()) {
    return refused(fmt::format("the model '{}' has no place to run", unit.spec.name), {});
  }
  const Parts& parts = unit.places.front();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    std::string needs =
        fmt::format("the model '{}' needs {} of ", unit.spec.name, size(part.bytes));
    if (part.account >= accounts_.size()) {
      return refused(needs + fmt::format("'{}', which is not there",
                                         unit.spec.places.front().charges[i - 1].account),
                     "name another device or pool in its settings, or none");
    }
    const Account& account = accounts_[part.account];
    if (part.bytes <= account.budget - account.pinned) continue;
    if (part.account == kCount) {
      return refused(
          fmt::format("the model '{}' cannot be loaded: no more than {} may be at once, and pinned "
                      "ones never go: {}",
                      unit.spec.name, account.budget, holders(kCount, units_.size())),
          "raise scheduler.max_models, or unload a pinned model");
    }
    if (part.bytes <= account.budget) {
      return refused(
          needs + fmt::format("{}, where engines may use {}, and pinned models hold {}: "
                              "{}",
                              account.spec.name, size(account.budget), size(account.pinned),
                              holders(part.account, units_.size())),
          "unload a pinned model, or do not pin it");
    }
    const auto& note = account.spec.note;
    return refused(needs + fmt::format("{}, and engines may use {} of it{}{}", account.spec.name,
                                       size(account.budget), note.empty() ? "" : ": ", note),
                   "a smaller context, fewer slots or a smaller quantization needs less; "
                   "scheduler.memory says how much engines may use");
  }
  return refused(fmt::format("the model '{}' cannot be placed", unit.spec.name), {});
}

std::string Placement::why_waiting(UnitId id, Time now) const {
  const Unit& unit = units_[id];
  if (unit.tickets.empty() || unit.state == UnitState::ready) return {};
  if (unit.state == UnitState::loading) return "it is loading";
  if (unit.state == UnitState::draining) return "its turn is over, and it finishes its requests";
  if (unit.state == UnitState::stopping) return "it is being unloaded and will be loaded again";
  if (unit.places.empty()) return {};
  std::string why = "it waits for its turn";
  for (const auto& part : unit.places.front()) {
    if (part.account >= accounts_.size()) continue;
    const Account& account = accounts_[part.account];
    if (part.bytes <= account.budget - account.used) continue;
    if (part.account == kCount) {
      why = fmt::format("no more than {} may be loaded at once", account.budget);
    } else {
      why = fmt::format("it needs {} of {}, of which {} are held by {}", size(part.bytes),
                        account.spec.name, size(account.used), holders(part.account, id));
    }
    break;
  }
  if (!unit.waits_for.empty()) {
    std::vector<std::string> names;
    names.reserve(unit.waits_for.size());
    for (UnitId other : unit.waits_for) names.push_back(units_[other].spec.name);
    why += fmt::format("; its place is that of {}", named(std::move(names)));
  }
  if (unit.turn_ends && *unit.turn_ends > now) {
    auto left = std::chrono::ceil<std::chrono::seconds>(*unit.turn_ends - now);
    why += fmt::format(", at the latest in {} s", left.count());
  }
  return why;
}

}  // namespace corral::scheduler

// How a flight chooses where to go.
#include <algorithm>

#include "bindings/prompt.hpp"
#include "gateway/core/text_hash.hpp"
#include "gateway/flight.hpp"

namespace corral::gateway {
namespace {

constexpr int kChoices = 4;  // another one may take the chosen place at the same moment

}  // namespace

// The targets of a group as the balancer sees them for this request.
class Flight::View final : public LoadView {
 public:
  View(const Flight& flight, const ActiveGroup& group, Time now, bool with_place)
      : flight_(flight), group_(group), now_(now), with_place_(with_place) {}

  bool usable(std::size_t index) const override {
    const ActiveTarget& target = group_.targets()[index];
    if (!target.state->allow(now_) || flight_.tried(target)) return false;
    if (target.local()) {
      if (!with_place_) return true;
      auto endpoint = flight_.local(target).endpoint;
      return endpoint == nullptr || endpoint->closed() || endpoint->has_place();
    }
    const Endpoint& endpoint = *target.endpoint;
    if (!endpoint.up() || endpoint.closed()) return false;
    return !with_place_ || endpoint.may_have_place();
  }

  Load load(std::size_t index) const override {
    const ActiveTarget& target = group_.targets()[index];
    auto held = target.local() ? flight_.local(target).endpoint : target.endpoint;
    if (held == nullptr) return {0, 1, 0, 1};
    bool costs = group_.policy() != Policy::least_busy && group_.policy() != Policy::round_robin;
    return {held->in_flight(), held->capacity(), costs ? target.state->latency_ns(now_) : 0.0,
            held->share()};
  }

 private:
  const Flight& flight_;
  const ActiveGroup& group_;
  Time now_;
  bool with_place_;
};

bool Flight::tried(const ActiveTarget& target) const {
  return std::ranges::find(tried_, &target) != tried_.end();
}

Target Flight::local(const ActiveTarget& target) const {
  return source_.ready(ModelName(model_at(target)), request_.operation);
}

BalanceKeys Flight::keys(const ActiveGroup& group) {
  BalanceKeys keys;
  const auto& settings = group.settings();
  if (settings.balance == config::Balance::sticky) {
    if (settings.sticky_by == config::StickyBy::session) {
      keys.sticky = caller_.session;
    } else {
      keys.sticky = request_.user.empty() ? caller_.principal : hash_of(request_.user);
    }
  }
  if (settings.balance == config::Balance::prefix) {
    if (!prefix_) {
      PrefixHasher hasher(hash_of(route_->name()));
      hasher.add(bindings::prompt_of(request_));
      prefix_ = hasher.finish();
      holders_ = route_->state->prefix_holders(*prefix_);
    }
    keys.holders = holders_;
  }
  return keys;
}

bool Flight::take_place(const ActiveGroup& group, const ActiveTarget& target, Time now,
                        Placement& place) const {
  Target found{target.endpoint, {}};
  if (target.local()) {
    found = local(target);
  } else {
    found.backend_model = model_at(target);
  }
  if (found.endpoint == nullptr) return false;
  auto permit = target.state->try_pass(now);
  if (!permit) return false;
  place = Placement(target.state, std::move(permit), found.endpoint->try_acquire());
  if (!place) {
    place = Placement();
    return false;
  }
  place.model = std::move(found.backend_model);
  place.defaults = group.defaults();
  return true;
}

Flight::Standing Flight::choose_in(const ActiveGroup& group, Time now, Placement& place,
                                   const ActiveTarget*& to_load) {
  for (int i = 0; i < kChoices; ++i) {
    auto choice = group.choose(View(*this, group, now, true), keys(group));
    if (!choice) break;
    const ActiveTarget& target = group.targets()[choice->index];
    if (target.local()) {
      auto endpoint = local(target).endpoint;
      if (endpoint == nullptr || endpoint->closed()) {
        to_load = &target;
        return Standing::load;
      }
    }
    if (take_place(group, target, now, place)) return Standing::placed;
  }
  return group.choose(View(*this, group, now, false), keys(group)) ? Standing::busy
                                                                   : Standing::none_alive;
}

// The first group in which anything is alive; its places are waited for, since the next groups are
// for when it cannot answer at all.
Flight::Standing Flight::choose(Time now, Placement& place, const ActiveTarget*& to_load) {
  for (const auto& group : route_->groups) {
    auto standing = choose_in(*group, now, place, to_load);
    if (standing != Standing::none_alive) return standing;
  }
  return tried_.empty() ? Standing::none_alive : Standing::none_left;
}

// Requests that wait, or try again, go on with the route as it is now.
void Flight::follow_route() {
  auto current = route_->state->current();
  if (current == nullptr || current == route_) return;
  auto before = std::exchange(route_, std::move(current));
  for (const auto* target : std::exchange(tried_, {})) leave_out(*target->state);
}

std::optional<Placement> Flight::take(Time now) {
  auto current = route_->state->current();
  // Another queue: the request joins that itself.
  if (current != nullptr && current->state != route_->state) return Placement();
  follow_route();
  Placement place;
  const ActiveTarget* to_load = nullptr;
  auto standing = choose(now, place, to_load);
  if (standing == Standing::none_left) {
    tried_.clear();
    standing = choose(now, place, to_load);
  }
  if (standing == Standing::placed) return place;
  // Its model must be loaded: the request does that itself, with a placement that is empty.
  if (standing == Standing::load) return Placement();
  return std::nullopt;
}

// Whether a target that was not tried yet is alive.
bool Flight::another_alive(Time now) {
  for (const auto& group : route_->groups) {
    if (group->choose(View(*this, *group, now, false), keys(*group))) return true;
  }
  return false;
}

// Of a model with several instances only the one that failed was tried.
void Flight::keep_siblings() {
  std::erase_if(tried_, [&](const ActiveTarget* target) {
    if (!target->local()) return false;
    auto endpoint = local(*target).endpoint;
    return endpoint != nullptr && endpoint.get() != failed_ && !endpoint->closed();
  });
}

void Flight::leave_out(const TargetState& state) {
  for (const auto& group : route_->groups) {
    for (const auto& target : group->targets()) {
      if (target.state.get() == &state) tried_.push_back(&target);
    }
  }
}

}  // namespace corral::gateway

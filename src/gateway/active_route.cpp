#include "gateway/active_route.hpp"

#include "gateway/core/mixing.hpp"

namespace corral::gateway {
namespace {

std::vector<Member> members_of(const std::vector<ActiveTarget>& targets) {
  std::vector<Member> members;
  members.reserve(targets.size());
  for (const auto& target : targets) members.push_back({target.state->id(), target.spec->weight});
  return members;
}

std::shared_ptr<const inference::DefaultParameters> defaults_of(const Route& route) {
  if (route.parameters.empty()) return nullptr;
  auto defaults = std::make_shared<inference::DefaultParameters>();
  for (const auto& each : route.parameters) defaults->push_back({each.name, each.json});
  return defaults;
}

// Different for each decision; which one of many equals is taken is nobody's secret.
std::uint64_t random_word() {
  static thread_local std::uint64_t state = mix64(
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
      reinterpret_cast<std::uintptr_t>(&state));
  return mix64(state++);
}

}  // namespace

ActiveGroup::ActiveGroup(const RouteGroup& spec, std::vector<ActiveTarget> targets)
    : spec_(spec),
      targets_(std::move(targets)),
      defaults_(defaults_of(*spec.origin)),
      balancer_(policy_of(spec.origin->settings.balance), members_of(targets_),
                spec.origin->settings.balance_factor) {}

std::optional<Choice> ActiveGroup::choose(const LoadView& view, const BalanceKeys& keys) const {
  std::lock_guard lock(mutex_);
  return balancer_.choose(view, keys, random_word());
}

std::string held_back(const ActiveRoute& route) {
  for (const auto& group : route.groups) {
    for (const auto& target : group->targets()) {
      if (target.local()) continue;
      auto why = target.endpoint->held();
      if (!why.empty()) return ": " + why;
    }
  }
  return {};
}

Policy policy_of(config::Balance balance) {
  switch (balance) {
    case config::Balance::peak_ewma: return Policy::peak_ewma;
    case config::Balance::round_robin: return Policy::round_robin;
    case config::Balance::weighted: return Policy::weighted;
    case config::Balance::least_busy: return Policy::least_busy;
    case config::Balance::sticky: return Policy::sticky;
    case config::Balance::prefix: return Policy::prefix;
  }
  return Policy::peak_ewma;
}

CallLimits limits_of(const config::RouteSettings& settings) {
  CallLimits limits;
  limits.timeouts = {settings.connect_timeout, settings.first_token_timeout,
                     settings.between_tokens_timeout};
  limits.total = settings.total_timeout;
  limits.queue = settings.queue_timeout;
  limits.queue_length = settings.queue_limit.value_or(limits.queue_length);
  return limits;
}

}  // namespace corral::gateway

#include "gateway/endpoint_registry.hpp"

#include <fmt/core.h>
#include <cmath>

#include "gateway/core/text_hash.hpp"

namespace corral::gateway {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
constexpr int kMostValidated = 3;  // models of an endpoint that comes back

unsigned percent(double part) { return static_cast<unsigned>(std::lround(part * 100)); }

std::uint64_t seed_of(const std::string& name) {
  return hash_of(name) ^ static_cast<std::uint64_t>(SteadyClock::now().time_since_epoch().count());
}

// What of an endpoint a request notices; the rest may change without a new one.
bool same_endpoint(const config::EndpointSettings& a, const config::EndpointSettings& b) {
  return a.binding == b.binding && a.url == b.url && a.api_key == b.api_key &&
         a.capacity == b.capacity && a.idle_timeout == b.idle_timeout;
}

// Tells one server from another that has its name later. A hash: an address may hold a password.
std::string place_of(const config::EndpointSettings& endpoint) {
  return fmt::format("{:016x}", hash_of(endpoint.binding + ' ' + endpoint.url));
}

}  // namespace

struct EndpointRegistry::Entry {
  config::EndpointSettings settings;
  std::shared_ptr<Endpoint> endpoint;
  EndpointHealth health;
  std::string last_error;
};

EndpointRegistry::EndpointRegistry(RegistryParts parts)
    : parts_(std::move(parts)),
      tasks_(std::make_unique<net::TaskGroup>(parts_.control)),
      alive_(std::make_shared<EndpointRegistry*>(this)) {}

EndpointRegistry::~EndpointRegistry() { *alive_ = nullptr; }

BreakerPolicy EndpointRegistry::breaker_policy(bool managed) const {
  const auto& wanted = settings_.breaker;
  BreakerPolicy policy = managed ? BreakerPolicy::for_instance() : BreakerPolicy::for_remote();
  policy.consecutive_failures = wanted.failures;
  policy.error_percent = percent(wanted.error_rate);
  policy.minimum_volume = wanted.min_volume;
  policy.window = wanted.window;
  policy.recovery = managed ? wanted.recovery_local : wanted.recovery_remote;
  policy.recovery_max = std::max(policy.recovery_max, policy.recovery);
  policy.trials = wanted.trials;
  policy.trial_successes = wanted.trials;
  policy.cooldown = wanted.cooldown;
  return policy;
}

HealthPolicy EndpointRegistry::health_policy() const {
  const auto& wanted = settings_.health;
  HealthPolicy policy;
  policy.strikes = wanted.strikes;
  policy.probe_interval = policy.suspect_interval = wanted.probe_interval;
  policy.validate = wanted.validate;
  policy.slow_start = wanted.slow_start;
  return policy;
}

std::shared_ptr<EndpointRegistry::Entry> EndpointRegistry::make_entry(
    const config::EndpointSettings& wanted, std::shared_ptr<Endpoint> endpoint) const {
  return std::make_shared<Entry>(
      Entry{wanted,
            std::move(endpoint),
            EndpointHealth(health_policy(), seed_of(wanted.name), SteadyClock::now()),
            {}});
}

std::shared_ptr<Endpoint> EndpointRegistry::make_endpoint(
    const config::EndpointSettings& wanted) const {
  auto target = net::parse_target(wanted.url);
  const auto* binding = parts_.bindings.find(wanted.binding);
  if (!target || binding == nullptr) {
    parts_.log.error("an endpoint cannot be used",
                     {{"endpoint", wanted.name},
                      {"error", target ? "unknown binding" : target.error().describe()}});
    return nullptr;
  }
  target->idle_limit = wanted.idle_timeout;
  return std::make_shared<Endpoint>(
      EndpointName(wanted.name), *binding,
      bindings::EndpointAddress{std::move(*target), wanted.api_key.value},
      EndpointOptions{wanted.capacity, false, parts_.poke});
}

void EndpointRegistry::apply(const std::vector<config::EndpointSettings>& endpoints,
                             const config::GatewaySettings& gateway) {
  bool breakers_changed = !(settings_.breaker == gateway.breaker);
  bool health_changed = !(settings_.health == gateway.health);
  settings_ = gateway;
  auto before = std::exchange(entries_, {});
  for (const auto& wanted : endpoints) {
    auto old = before.find(wanted.name);
    if (old != before.end() && same_endpoint(old->second->settings, wanted)) {
      auto kept = before.extract(old);
      kept.mapped()->settings = wanted;
      // Its requests go on counting against its capacity; a probe under way answers to nobody.
      if (health_changed) kept.mapped() = make_entry(wanted, kept.mapped()->endpoint);
      entries_.insert(std::move(kept));
      continue;
    }
    if (auto endpoint = make_endpoint(wanted)) {
      entries_.emplace(wanted.name, make_entry(wanted, std::move(endpoint)));
    }
  }
  for (auto& [name, entry] : before) entry->endpoint->close();
  for (const auto& [name, entry] : entries_) show(*entry);
  forget_states(before, breakers_changed);
}

std::string EndpointRegistry::place_of(const std::string& endpoint) const {
  auto entry = entries_.find(endpoint);
  return entry == entries_.end() ? std::string() : gateway::place_of(entry->second->settings);
}

// Those of endpoints that are gone; or all, and then what the others learned goes on to the new
// ones.
void EndpointRegistry::forget_states(const std::map<std::string, std::shared_ptr<Entry>>& gone,
                                     bool all) {
  std::lock_guard lock(mutex_);
  std::erase_if(recalled_, [&](const auto& each) {
    return entries_.contains(each.first.first) && place_of(each.first.first) != each.second.place;
  });
  std::erase_if(states_, [&](const auto& each) {
    const auto& [names, state] = each;
    if (names.first != config::kLocalEndpoint && gone.contains(names.first)) return true;
    if (!all) return false;
    auto news = state->take_learned();
    if (auto learned = news ? news : state->estimate()) {
      recalled_[names] = {place_of(names.first), *learned, !news};
    }
    return true;
  });
}

void EndpointRegistry::hold(std::map<std::string, std::string> held) {
  auto before = std::exchange(held_, std::move(held));
  for (auto& [name, entry] : entries_) {
    bool is_held = held_.contains(name);
    if (before.contains(name) && !is_held) {
      entry = make_entry(entry->settings, entry->endpoint);
      for (const auto& state : states_of(name)) state->probe_succeeded(SteadyClock::now());
    }
    if (is_held || before.contains(name)) show(*entry);
  }
  parts_.poke();
}

void EndpointRegistry::show(const Entry& entry) const {
  auto held = held_.find(entry.settings.name);
  entry.endpoint->set_held(held == held_.end() ? std::string() : held->second);
  entry.endpoint->set_health(held == held_.end() && entry.health.usable(),
                             entry.health.capacity_share(SteadyClock::now()));
}

std::shared_ptr<Endpoint> EndpointRegistry::find(const std::string& name) const {
  auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : it->second->endpoint;
}

std::shared_ptr<TargetState> EndpointRegistry::state(const std::string& endpoint,
                                                     const std::string& model) {
  std::lock_guard lock(mutex_);
  auto& state = states_[{endpoint, model}];
  if (state == nullptr) {
    state = std::make_shared<TargetState>(
        endpoint, model, breaker_policy(endpoint == config::kLocalEndpoint),
        [alive = alive_, &control = parts_.control](const TargetState& which,
                                                    const BreakerTransition& transition) {
          control.post([alive, name = which.endpoint(), model_name = which.model(), transition] {
            if (*alive != nullptr) (*alive)->breaker_changed(name, model_name, transition);
          });
        });
    if (auto known = recalled_.extract({endpoint, model})) {
      state->recall(known.mapped().estimate, known.mapped().noted);
    }
  }
  return state;
}

void EndpointRegistry::recall(std::vector<LearnedWork> learned) {
  std::lock_guard lock(mutex_);
  for (auto& each : learned) {
    recalled_[{std::move(each.endpoint), std::move(each.model)}] = {std::move(each.place),
                                                                    each.estimate, true};
  }
}

std::vector<LearnedWork> EndpointRegistry::take_learned() {
  std::vector<LearnedWork> all;
  std::lock_guard lock(mutex_);
  for (const auto& [names, state] : states_) {
    if (auto learned = state->take_learned()) {
      all.push_back({names.first, names.second, place_of(names.first), *learned});
    }
  }
  return all;
}

std::vector<std::shared_ptr<TargetState>> EndpointRegistry::states_of(
    const std::string& endpoint) const {
  std::vector<std::shared_ptr<TargetState>> result;
  std::lock_guard lock(mutex_);
  for (auto it = states_.lower_bound({endpoint, ""});
       it != states_.end() && it->first.first == endpoint; ++it) {
    result.push_back(it->second);
  }
  return result;
}

void EndpointRegistry::eject(const std::string& endpoint) {
  auto entry = entries_.find(endpoint);
  if (entry == entries_.end() || settings_.health.probe_interval.count() == 0) return;
  perform(entry->second, entry->second->health.eject(SteadyClock::now()));
}

Result<void> EndpointRegistry::force_breakers(const std::string& endpoint, const std::string& model,
                                              bool open) {
  bool any = false;
  for (const auto& state : states_of(endpoint)) {
    if (!model.empty() && state->model() != model) continue;
    any = true;
    if (open) {
      state->force_open();
    } else {
      state->force_close();
    }
  }
  if (any || (model.empty() && entries_.contains(endpoint))) return {};
  return fail(ErrorCode::not_found,
              fmt::format("there is no model '{}' at an endpoint '{}'", model, endpoint));
}

void EndpointRegistry::breaker_changed(const std::string& endpoint, const std::string& model,
                                       const BreakerTransition& change) {
  auto fields = std::initializer_list<telemetry::LogField>{{"endpoint", endpoint},
                                                           {"model", model},
                                                           {"from", to_string(change.from)},
                                                           {"to", to_string(change.to)},
                                                           {"reason", to_string(change.reason)}};
  if (change.to == BreakerState::open) {
    parts_.log.warn("circuit breaker", fields);
  } else {
    parts_.log.info("circuit breaker", fields);
  }
  if (parts_.breaker_changed) parts_.breaker_changed(endpoint, model, change);
  auto entry = entries_.find(endpoint);
  if (entry != entries_.end()) {
    auto now = SteadyClock::now();
    bool any_open = false;
    for (const auto& state : states_of(endpoint)) {
      any_open = any_open || state->view(now).state == BreakerState::open;
    }
    if (any_open) {
      entry->second->health.breaker_opened(now);
    } else {
      entry->second->health.breaker_closed();
    }
  }
  parts_.poke();
}

// --- health --------------------------------------------------------------------------------------

void EndpointRegistry::start() {
  if (std::exchange(started_, true)) return;
  parts_.control.every(kTick, [alive = alive_] {
    if (*alive != nullptr) (*alive)->tick();
  });
}

net::Task<void> EndpointRegistry::stop() {
  stopping_ = true;
  co_await tasks_->close();
}

void EndpointRegistry::tick() {
  // Without probes nothing could bring an endpoint back that was thought to be down.
  if (stopping_ || settings_.health.probe_interval.count() == 0) return;
  auto now = SteadyClock::now();
  for (auto& [name, entry] : entries_) {
    if (held_.contains(name)) continue;
    auto wake = entry->health.wake_at();
    if (settings_.health.probe_interval.count() == 0) wake.reset();  // never
    if (wake && *wake <= now) perform(entry, entry->health.tick(now));
    entry->endpoint->set_health(entry->health.usable(), entry->health.capacity_share(now));
  }
}

void EndpointRegistry::perform(const std::shared_ptr<Entry>& entry, const HealthStep& step) {
  show(*entry);
  if (step.transition) {
    auto fields =
        std::initializer_list<telemetry::LogField>{{"endpoint", entry->settings.name},
                                                   {"from", to_string(step.transition->from)},
                                                   {"to", to_string(step.transition->to)},
                                                   {"reason", to_string(step.transition->reason)},
                                                   {"error", entry->last_error}};
    if (entry->health.usable()) {
      parts_.log.info("endpoint health", fields);
    } else {
      parts_.log.warn("endpoint health", fields);
    }
    parts_.poke();
  }
  if (step.probe) tasks_->spawn(probe(entry));
  if (step.validate) tasks_->spawn(validate(entry));
}

net::Task<void> EndpointRegistry::probe(std::shared_ptr<Entry> entry) {
  auto checked = co_await entry->endpoint->binding().probe(entry->endpoint->address(),
                                                           settings_.health.probe_timeout);
  if (stopping_) co_return;  // its failure is ours
  auto now = SteadyClock::now();
  entry->last_error = checked ? std::string() : checked.error().describe();
  if (checked) {
    for (const auto& state : states_of(entry->settings.name)) state->probe_succeeded(now);
  }
  perform(entry, entry->health.probed(now, checked ? Check::passed : Check::failed));
}

net::Task<void> EndpointRegistry::validate(std::shared_ptr<Entry> entry) {
  auto timeout = settings_.health.probe_timeout;
  bindings::CallTimeouts timeouts{timeout, timeout, timeout};
  Result<void> checked;
  int tried = 0;
  // One model that answers shows that the server works; others may be embedders, or gone.
  for (const auto& state : states_of(entry->settings.name)) {
    if (state->model().contains('*')) continue;  // stands for names that clients choose
    checked = co_await entry->endpoint->binding().validate(entry->endpoint->address(),
                                                           state->model(), timeouts);
    if (stopping_) co_return;
    if (checked || ++tried == kMostValidated) break;
  }
  entry->last_error = checked ? std::string() : checked.error().describe();
  perform(entry,
          entry->health.validated(SteadyClock::now(), checked ? Check::passed : Check::failed));
}

std::vector<EndpointView> EndpointRegistry::view() const {
  std::vector<EndpointView> result;
  result.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) {
    EndpointView view;
    view.settings = entry->settings;
    view.endpoint = entry->endpoint;
    view.health = entry->health.state();
    view.last_probe_error = entry->last_error;
    if (auto held = held_.find(name); held != held_.end()) view.held = held->second;
    for (auto& state : states_of(name)) view.models.push_back(std::move(state));
    result.push_back(std::move(view));
  }
  return result;
}

}  // namespace corral::gateway

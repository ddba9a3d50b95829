// What must hold between routes, and between routes and endpoints.
#include <fmt/core.h>
#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "config/checks.hpp"
#include "config/config.hpp"
#include "config/name_index.hpp"
#include "config/node.hpp"
#include "config/reader.hpp"

namespace corral::config {
namespace {

// The search for a near name is quadratic; past so many problems nobody reads the hints.
constexpr std::size_t kMostHints = 50;

std::string hint(std::string_view wanted, std::span<const std::string> known, bool worth_it) {
  auto near = worth_it ? nearest(wanted, known, 1) : std::vector<std::string>();
  return near.empty() ? "" : fmt::format("; did you mean {}?", quoted_for_message(near.front()));
}

class RouteChecks {
 public:
  RouteChecks(std::span<const EndpointSettings> endpoints, std::span<const RouteSettings> routes)
      : endpoints_(endpoints), routes_(routes) {}

  std::vector<Problem> run() {
    for (std::size_t i = 0; i < endpoints_.size(); ++i) {
      weights_.emplace(endpoints_[i].name, endpoints_[i].weight);
      endpoint_names_.push_back(endpoints_[i].name);
      for (const auto& entry : endpoints_[i].models) models_.add(served_model(entry).name, 0);
    }
    endpoint_names_.emplace_back(kLocalEndpoint);
    for (std::size_t i = 0; i < routes_.size(); ++i) {
      check_route(routes_[i], path_of(i), problems_);
      claim_names(i);
      check_endpoints(i);
      check_weights(i);
    }
    for (std::size_t i = 0; i < routes_.size(); ++i) check_wildcard_fallbacks(i);
    check_cycles();
    return std::move(problems_);
  }

 private:
  static std::string path_of(std::size_t route) { return fmt::format("routes[{}]", route); }

  void report(std::string path, std::string message) {
    problems_.push_back({std::move(path), std::move(message)});
  }

  void claim_names(std::size_t route) {
    auto claim = [&](const std::string& name, std::string_view member) {
      if (name.empty() || names_.add(name, static_cast<NameIndex::Id>(route))) return;
      auto owner = *names_.owner(name);
      std::string whose =
          owner == route ? std::string("this route already")
                         : fmt::format("the route {}", quoted_for_message(routes_[owner].name));
      report(joined(path_of(route), member),
             fmt::format("{} is a name of {}", quoted_for_message(name), whose));
    };
    claim(routes_[route].name, "name");
    for (const auto& alias : routes_[route].aliases) claim(alias, "aliases");
  }

  void check_endpoints(std::size_t route) {
    const auto& targets = routes_[route].targets;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto& name = targets[i].endpoint;
      if (name.empty() || name == kLocalEndpoint || weights_.contains(name)) continue;
      report(fmt::format("{}.targets[{}].endpoint", path_of(route), i),
             fmt::format("there is no endpoint {}{}", quoted_for_message(name),
                         hint(name, endpoint_names_, problems_.size() < kMostHints)));
    }
  }

  unsigned weight_of(const TargetSettings& target) const {
    if (target.weight) return *target.weight;
    auto endpoint = weights_.find(target.endpoint);
    return endpoint == weights_.end() ? 1 : endpoint->second;
  }

  void check_weights(std::size_t route) {
    const auto& targets = routes_[route].targets;
    std::map<unsigned, std::pair<std::uint64_t, std::size_t>> groups;  // weight, a target
    for (std::size_t i = 0; i < targets.size(); ++i) {
      auto& [weight, target] = groups[targets[i].group];
      weight += weight_of(targets[i]);
      target = i;
    }
    for (const auto& [group, sum] : groups) {
      if (sum.first != 0) continue;
      report(fmt::format("{}.targets[{}].weight", path_of(route), sum.second),
             fmt::format("all weights of group {} are 0; one at least must be more", group));
    }
  }

  // A fallback with '*' passes on what the route's own '*' stood for, to another such route.
  void check_wildcard_fallbacks(std::size_t route) {
    for (const auto& name : routes_[route].fallbacks) {
      if (!is_wildcard(name) || !is_wildcard(routes_[route].name) || names_.owner(name)) continue;
      report(path_of(route) + ".fallbacks",
             fmt::format("{} is the name of no route", quoted_for_message(name)));
    }
  }

  // The route that a fallback leads to; none: a model.
  std::optional<std::size_t> route_of(std::string_view name) const {
    if (auto owner = names_.owner(name)) return *owner;
    auto found = names_.find(name);
    if (!found) return std::nullopt;
    bool wildcard = !found->matched.empty();
    if (wildcard && (models_.find(name) || is_wildcard(name))) return std::nullopt;
    return found->id;
  }

  enum class Mark { fresh, open, done };

  // Depth first, without recursion: `trail` is the way from the first route to the current one.
  void check_cycles() {
    struct Step {
      std::size_t route;
      std::size_t next = 0;  // fallback
    };
    std::vector<Mark> marks(routes_.size(), Mark::fresh);
    for (std::size_t first = 0; first < routes_.size(); ++first) {
      if (marks[first] != Mark::fresh) continue;
      std::vector<Step> trail{{first}};
      marks[first] = Mark::open;
      while (!trail.empty()) {
        auto& step = trail.back();
        const auto& fallbacks = routes_[step.route].fallbacks;
        if (step.next == fallbacks.size()) {
          marks[step.route] = Mark::done;
          trail.pop_back();
          continue;
        }
        auto next = route_of(fallbacks[step.next++]);
        if (!next || marks[*next] == Mark::done) continue;
        if (marks[*next] == Mark::fresh) {
          marks[*next] = Mark::open;
          trail.push_back({*next});
          continue;
        }
        auto begin = std::ranges::find(trail, *next, &Step::route);
        report_cycle(std::span(begin, trail.end()));
      }
    }
  }

  template <class Steps>
  void report_cycle(const Steps& steps) {
    constexpr std::size_t kMostShown = 10;
    std::string circle;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (i == kMostShown) circle += "... -> ";
      if (i < kMostShown) circle += routes_[steps[i].route].name + " -> ";
    }
    circle += routes_[steps.front().route].name;
    report(path_of(steps.back().route) + ".fallbacks",
           fmt::format("fallbacks go in a circle: {}", safe(circle)));
  }

  // One line, and not too long.
  static std::string safe(std::string text) {
    constexpr std::size_t kMost = 400;
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    }
    if (text.size() > kMost) text = text.substr(0, kMost) + "...";
    return text;
  }

  std::span<const EndpointSettings> endpoints_;
  std::span<const RouteSettings> routes_;
  std::map<std::string, unsigned, std::less<>> weights_;  // of endpoints
  std::vector<std::string> endpoint_names_;
  NameIndex names_;   // -> route
  NameIndex models_;  // of endpoints
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> validate_routes(std::span<const EndpointSettings> endpoints,
                                     std::span<const RouteSettings> routes) {
  return RouteChecks(endpoints, routes).run();
}

}  // namespace corral::config

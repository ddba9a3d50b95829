#include <fmt/core.h>
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "config/checks.hpp"
#include "config/node.hpp"
#include "config/reader.hpp"

namespace corral::config {
namespace {

using Problems = std::vector<Problem>;

constexpr std::size_t kLongestName = 256;
constexpr std::size_t kMostParameters = 64;

// What is wrong with a public name; empty when nothing is.
std::string name_problem(std::string_view name) {
  if (trim(name).empty()) return "is missing";
  bool odd = std::ranges::any_of(
      name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (odd || trim(name) != name || name.size() > kLongestName) {
    return fmt::format(
        "{} is not a name without spaces around it and control characters (at most {})",
        quoted_for_message(name), kLongestName);
  }
  if (auto star = name.find('*'); star != std::string_view::npos && star + 1 != name.size()) {
    return fmt::format("{}: a '*' can stand at the end only, and once", quoted_for_message(name));
  }
  return {};
}

void check_names(const RouteSettings& route, const std::string& path, Problems& problems) {
  if (auto problem = name_problem(route.name); !problem.empty()) {
    problems.push_back({joined(path, "name"), problem});
  }
  for (const auto& alias : route.aliases) {
    auto problem = name_problem(alias);
    if (problem.empty() && is_wildcard(alias) != is_wildcard(route.name)) {
      problem = is_wildcard(alias)
                    ? fmt::format("{} ends in '*', but the name of the route does not",
                                  quoted_for_message(alias))
                    : fmt::format("{} must end in '*', as the name of the route does",
                                  quoted_for_message(alias));
    }
    if (!problem.empty()) problems.push_back({joined(path, "aliases"), problem});
  }
}

void check_target(const RouteSettings& route, const TargetSettings& target, const std::string& path,
                  Problems& problems) {
  if (target.endpoint.empty()) problems.push_back({joined(path, "endpoint"), "is missing"});
  auto stars = std::ranges::count(target.model, '*');
  if (stars > 1) {
    problems.push_back({joined(path, "model"), fmt::format("{} holds more than one '*'",
                                                           quoted_for_message(target.model))});
  } else if (stars == 1 && !is_wildcard(route.name)) {
    problems.push_back({joined(path, "model"),
                        fmt::format("{} holds a '*', but the name of the route does not end in one",
                                    quoted_for_message(target.model))});
  }
}

void check_targets(const RouteSettings& route, const std::string& path, Problems& problems) {
  if (route.targets.empty() && route.fallbacks.empty()) {
    problems.push_back({joined(path, "targets"),
                        "the route leads nowhere: it has no target and "
                        "no fallback"});
  }
  std::map<std::tuple<unsigned, std::string_view, std::string_view>, std::size_t> seen;
  for (std::size_t i = 0; i < route.targets.size(); ++i) {
    const auto& target = route.targets[i];
    std::string at = joined(path, fmt::format("targets[{}]", i));
    check_target(route, target, at, problems);
    auto [first, fresh] = seen.emplace(
        std::tuple(target.group, std::string_view(target.endpoint), std::string_view(target.model)),
        i);
    if (!fresh) {
      problems.push_back(
          {at, fmt::format("is the same as targets[{}]; give that more weight", first->second)});
    }
  }
}

void check_fallbacks(const RouteSettings& route, const std::string& path, Problems& problems) {
  std::set<std::string> seen;
  for (const auto& fallback : route.fallbacks) {
    std::string problem = trim(fallback).empty() ? "a fallback is empty" : name_problem(fallback);
    if (problem.empty() && !seen.insert(to_lower(fallback)).second) {
      problem = fmt::format("{} is named twice", quoted_for_message(fallback));
    }
    if (problem.empty() && is_wildcard(fallback) && !is_wildcard(route.name)) {
      problem = fmt::format("{} ends in '*', but the name of the route does not",
                            quoted_for_message(fallback));
    }
    if (!problem.empty()) problems.push_back({joined(path, "fallbacks"), problem});
  }
}

bool is_parameter_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void check_parameters(const RouteSettings& route, const std::string& path, Problems& problems) {
  // What a request is about, and what the gateway itself decides by.
  constexpr std::string_view kRefused[] = {"model", "messages", "prompt", "input", "stream"};
  std::string at = joined(path, "parameters");
  if (route.parameters.size() > kMostParameters) {
    problems.push_back({at, fmt::format("more than {} are given", kMostParameters)});
  }
  for (const auto& [name, value] : route.parameters) {
    if (!is_parameter_name(name)) {
      problems.push_back({at, fmt::format("{} is not a name of letters, digits and _ (at most 64)",
                                          quoted_for_message(name))});
    } else if (std::ranges::find(kRefused, name) != std::end(kRefused)) {
      problems.push_back(
          {at, fmt::format("{} is for each request to say", quoted_for_message(name))});
    }
  }
}

void check_backoff(Milliseconds least, Milliseconds most, const std::string& at,
                   std::string_view least_name, Problems& problems) {
  if (most >= least) return;
  problems.push_back({at, fmt::format("is less than {} ({})", least_name, format_duration(least))});
}

}  // namespace

void check_route(const RouteSettings& route, const std::string& path, Problems& problems) {
  check_names(route, path, problems);
  check_targets(route, path, problems);
  check_fallbacks(route, path, problems);
  check_parameters(route, path, problems);
  check_backoff(route.retry_backoff_min, route.retry_backoff_max, joined(path, "retry_backoff_max"),
                "retry_backoff_min", problems);
  check_backoff(route.background_backoff_min, route.background_backoff_max,
                joined(path, "background_backoff_max"), "background_backoff_min", problems);
}

}  // namespace corral::config

#include "api/router.hpp"

namespace corral::api {
namespace {

bool method_fits(const Route& route, std::string_view method) {
  return route.method == method || (method == "HEAD" && route.method == "GET");
}

void allow(std::string& list, const std::string& method) {
  if (list.find(method) != std::string::npos) return;
  if (!list.empty()) list += ", ";
  list += method;
  if (method == "GET") list += ", HEAD";
}

}  // namespace

void Router::add(Route route) {
  auto owned = std::make_unique<Route>(std::move(route));
  const std::string& pattern = owned->pattern;
  auto open = pattern.find('{');
  if (open == std::string::npos) {
    exact_.emplace(pattern, owned.get());
  } else {
    auto close = pattern.find('}', open);
    patterns_.push_back({pattern.substr(0, open), pattern.substr(close + 1),
                         pattern.substr(open, close - open + 1) == "{...}", owned.get()});
  }
  routes_.push_back(std::move(owned));
}

bool Router::matches(const Pattern& pattern, std::string_view path, std::string_view& parameter) {
  if (!path.starts_with(pattern.before) || !path.ends_with(pattern.after) ||
      path.size() <= pattern.before.size() + pattern.after.size()) {
    return false;
  }
  parameter = path.substr(pattern.before.size(),
                          path.size() - pattern.before.size() - pattern.after.size());
  return pattern.rest || parameter.find('/') == std::string_view::npos;
}

Router::Match Router::match(std::string_view method, std::string_view path) const {
  Match result;
  auto [first, last] = exact_.equal_range(path);
  for (auto it = first; it != last; ++it) {
    if (method_fits(*it->second, method)) {
      return {it->second, {}, {}};
    }
    allow(result.allowed, it->second->method);
  }
  if (first != last) return result;
  for (const auto& pattern : patterns_) {
    std::string_view parameter;
    if (!matches(pattern, path, parameter)) continue;
    if (!method_fits(*pattern.route, method)) {
      allow(result.allowed, pattern.route->method);
      continue;
    }
    auto decoded = net::decode_path(parameter);
    if (!decoded) return {};
    return {pattern.route, std::move(*decoded), {}};
  }
  return result;
}

}  // namespace corral::api

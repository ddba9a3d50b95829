#include <fmt/core.h>
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "config/checks.hpp"
#include "config/config.hpp"
#include "config/node.hpp"
#include "config/reader.hpp"

namespace corral::config {
namespace {

using Problems = std::vector<Problem>;

bool is_endpoint_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

// Empty when nothing is wrong.
std::string endpoint_name_problem(std::string_view name) {
  if (name.empty()) return "is missing";
  if (!is_endpoint_name(name)) {
    return fmt::format("{} is not a name of letters, digits and ._- (at most 64)",
                       quoted_for_message(name));
  }
  if (iequals(name, kLocalEndpoint)) {
    return fmt::format("{} means the engines of this Corral itself; choose another name",
                       quoted_for_message(name));
  }
  return {};
}

// What is wrong with the address of an endpoint; empty when nothing is. The address itself is not
// repeated: it may hold a password.
std::string url_problem(std::string_view url) {
  if (url.empty()) return "is missing";
  for (char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F) return "holds a space";
  }
  if (url.starts_with("unix:")) {
    return url.substr(5).starts_with('/') ? "" : "must name an absolute path, as in unix:/run/x";
  }
  std::size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (scheme == 0) return "must begin with http://, https:// or unix:";
  std::string_view authority = url.substr(scheme, url.find_first_of("/?#", scheme) - scheme);
  if (authority.empty()) return "names no host";
  if (authority.find('@') != std::string_view::npos) {
    return "must not hold a user name or password; use api_key";
  }
  if (url.find_first_of("?#") != std::string_view::npos) return "must not hold ? or #";
  return {};
}

void check_models(const EndpointSettings& endpoint, const std::string& path, Problems& problems) {
  std::set<std::string_view> names;
  for (std::string_view entry : endpoint.models) {
    auto model = served_model(entry);
    if (model.name.empty() || model.backend.empty()) {
      problems.push_back(
          {path, fmt::format("{} is neither NAME nor PUBLIC=BACKEND", quoted_for_message(entry))});
    } else if (!names.insert(model.name).second) {
      problems.push_back({path, fmt::format("{} is named twice", quoted_for_message(model.name))});
    }
  }
}

}  // namespace

ServedModel served_model(std::string_view entry) {
  auto equals = entry.find('=');
  if (equals == std::string_view::npos) return {entry, entry};
  return {entry.substr(0, equals), entry.substr(equals + 1)};
}

void check_endpoint(const EndpointSettings& endpoint, const std::string& path, Problems& problems) {
  if (auto problem = endpoint_name_problem(endpoint.name); !problem.empty()) {
    problems.push_back({joined(path, "name"), problem});
  }
  if (endpoint.binding.empty()) {
    problems.push_back({joined(path, "binding"), "is missing (llamacpp or openai)"});
  }
  if (auto problem = url_problem(endpoint.url); !problem.empty()) {
    problems.push_back({joined(path, "url"), problem});
  }
  if (endpoint.api_key.value == "***") {
    problems.push_back({joined(path, "api_key"), "is the mask of a secret, not a secret"});
  }
  check_models(endpoint, joined(path, "models"), problems);
}

std::vector<Problem> validate_endpoints(std::span<const EndpointSettings> endpoints) {
  Problems problems;
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    std::string path = fmt::format("{}[{}]", kEndpointsPath, i);
    if (!endpoints[i].name.empty() && !names.insert(endpoints[i].name).second) {
      problems.push_back({path + ".name", fmt::format("another endpoint is called {} too",
                                                      quoted_for_message(endpoints[i].name))});
    }
    check_endpoint(endpoints[i], path, problems);
  }
  return problems;
}

}  // namespace corral::config

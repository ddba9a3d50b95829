#include <fmt/format.h>
#include <set>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/node.hpp"

namespace corral::config {
namespace {

using Problems = std::vector<Problem>;

void check_listen(const ServerSettings& server, Problems& problems) {
  if (server.listen.empty()) {
    problems.push_back({"server.listen", "at least one address is needed"});
  }
  std::set<std::string> seen;
  for (const auto& address : server.listen) {
    if (address.port != 0 && !seen.insert(to_string(address)).second) {
      problems.push_back({"server.listen", fmt::format("{} is named twice", to_string(address))});
    }
  }
  if (!server.api_key.empty() || server.allow_anonymous_remote) return;
  for (const auto& address : server.listen) {
    if (is_loopback(address)) continue;
    problems.push_back(
        {"server.listen", fmt::format("{} can be reached from other machines, and anyone could use "
                                      "it; set server.api_key, or server.allow_anonymous_remote: "
                                      "true if that is meant",
                                      to_string(address))});
    return;
  }
}

void check_tls(const ServerSettings& server, Problems& problems) {
  if (server.tls_certificate.empty() == server.tls_key.empty()) return;
  bool lacks_key = server.tls_key.empty();
  problems.push_back({lacks_key ? "server.tls_certificate" : "server.tls_key",
                      fmt::format("is of no use without {}",
                                  lacks_key ? "server.tls_key" : "server.tls_certificate")});
}

void check_engine(const LlamaServerSettings& engine, Problems& problems) {
  if (engine.restart_backoff_max < engine.restart_backoff) {
    problems.push_back({"engines.llama_server.restart_backoff_max",
                        "is shorter than engines.llama_server.restart_backoff"});
  }
}

void check_models(const ModelsSettings& models, Problems& problems) {
  std::map<std::string_view, std::string_view> owner;  // alias -> model
  for (const auto& [name, model] : models.settings) {
    std::string path = fmt::format("models.settings.{}", name);
    if (trim(name).empty()) problems.push_back({"models.settings", "a model without a name"});
    for (const auto& alias : model.aliases) {
      auto [first, fresh] = owner.emplace(alias, name);
      if (trim(alias).empty()) {
        problems.push_back({path + ".aliases", "an alias is empty"});
      } else if (models.settings.contains(alias)) {
        problems.push_back({path + ".aliases",
                            fmt::format("{} is the name of a model", quoted_for_message(alias))});
      } else if (!fresh) {
        problems.push_back({path + ".aliases",
                            fmt::format("{} is an alias of {} already", quoted_for_message(alias),
                                        quoted_for_message(first->second))});
      }
    }
  }
}

bool is_endpoint_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
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

void check_endpoint_models(const EndpointSettings& endpoint, const std::string& path,
                           Problems& problems) {
  std::set<std::string_view> names;
  for (std::string_view entry : endpoint.models) {
    auto equals = entry.find('=');
    std::string_view name = entry.substr(0, equals);
    bool half = equals != std::string_view::npos && equals + 1 == entry.size();
    if (name.empty() || half) {
      problems.push_back({path + ".models", fmt::format("{} is neither NAME nor PUBLIC=BACKEND",
                                                        quoted_for_message(entry))});
    } else if (!names.insert(name).second) {
      problems.push_back(
          {path + ".models", fmt::format("{} is named twice", quoted_for_message(name))});
    }
  }
}

void check_endpoints(const std::vector<EndpointSettings>& endpoints, Problems& problems) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    const auto& endpoint = endpoints[i];
    std::string path = fmt::format("endpoints[{}]", i);
    if (!is_endpoint_name(endpoint.name)) {
      problems.push_back(
          {path + ".name", endpoint.name.empty()
                               ? "is missing"
                               : fmt::format("{} is not a name of letters, digits and ._- (at "
                                             "most 64)",
                                             quoted_for_message(endpoint.name))});
    } else if (!names.insert(endpoint.name).second) {
      problems.push_back({path + ".name", fmt::format("another endpoint is called {} too",
                                                      quoted_for_message(endpoint.name))});
    }
    if (endpoint.binding.empty()) {
      problems.push_back({path + ".binding", "is missing (llamacpp or openai)"});
    }
    if (auto problem = url_problem(endpoint.url); !problem.empty()) {
      problems.push_back({path + ".url", problem});
    }
    check_endpoint_models(endpoint, path, problems);
  }
}

}  // namespace

std::vector<Problem> validate(const Settings& settings) {
  Problems problems;
  check_listen(settings.server, problems);
  check_tls(settings.server, problems);
  check_engine(settings.llama_server, problems);
  check_models(settings.models, problems);
  check_endpoints(settings.endpoints, problems);
  return problems;
}

}  // namespace corral::config

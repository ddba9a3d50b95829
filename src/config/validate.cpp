#include <fmt/format.h>
#include <map>
#include <set>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/containers.hpp"
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

void check_autoscale(const AutoscaleSettings& scale, Problems& problems) {
  if (scale.cpu_low >= scale.cpu_high) {
    problems.push_back({"scheduler.autoscale.cpu_low",
                        "is not below scheduler.autoscale.cpu_high: instances would come and go"});
  }
}

void check_models(const ModelsSettings& models, Problems& problems) {
  std::map<std::string_view, std::string_view> owner;  // alias -> model
  for (const auto& [name, model] : models.settings) {
    std::string path = fmt::format("models.settings.{}", name);
    if (trim(name).empty()) problems.push_back({"models.settings", "a model without a name"});
    if (model.max_replicas < model.min_replicas) {
      problems.push_back({path + ".max_replicas", "is less than min_replicas"});
    }
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

void check_pools(const Settings& settings, Problems& problems) {
  const auto& pools = settings.scheduler.pools;
  std::map<std::string, std::string> pool_for;  // by kind of work
  for (const auto& [name, pool] : pools) {
    const std::string path = fmt::format("scheduler.pools.{}.work", name);
    for (const auto& kind : pool.work) {
      if (kind != "chat" && kind != "embedding") {
        problems.push_back(
            {path, fmt::format("there is no kind of work {}; it is chat or embedding",
                               quoted_for_message(kind))});
        continue;
      }
      auto [first, fresh] = pool_for.emplace(kind, name);
      if (!fresh && first->second != name) {
        problems.push_back({path, fmt::format("the pool {} is for {} already",
                                              quoted_for_message(first->second), kind)});
      }
    }
  }
  for (const auto& [name, model] : settings.models.settings) {
    if (!model.pool.empty() && !pools.contains(model.pool)) {
      problems.push_back(
          {fmt::format("models.settings.{}.pool", name),
           fmt::format("there is no pool {} in scheduler.pools", quoted_for_message(model.pool))});
    }
  }
}

}  // namespace

std::vector<Problem> validate(const Settings& settings) {
  Problems problems;
  check_listen(settings.server, problems);
  check_tls(settings.server, problems);
  check_engine(settings.llama_server, problems);
  check_autoscale(settings.scheduler.autoscale, problems);
  check_models(settings.models, problems);
  check_pools(settings, problems);
  for (auto& each : validate_endpoints(settings.endpoints)) problems.push_back(std::move(each));
  for (auto& each : validate_containers(settings)) problems.push_back(std::move(each));
  auto endpoints = with_containers(settings);
  for (auto& each : validate_routes(endpoints, settings.routes)) {
    problems.push_back(std::move(each));
  }
  return problems;
}

}  // namespace corral::config

#include "engines/docker/container_spec.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "engines/docker/docker_types.hpp"
#include "models/sha256.hpp"

namespace corral::engines::docker {
namespace {

namespace bj = boost::json;

bj::array texts(const std::vector<std::string>& from) {
  bj::array all;
  all.reserve(from.size());
  for (const auto& each : from) all.emplace_back(each);
  return all;
}

bj::array environment_of(const config::ContainerSettings& settings,
                         const std::map<std::string, std::string>& ours) {
  bj::array all;
  for (const auto& entry : settings.environment) {
    if (entry.find('=') != std::string::npos) {
      all.emplace_back(entry);
      continue;
    }
    auto found = ours.find(entry);
    if (found != ours.end()) all.emplace_back(entry + "=" + found->second);
  }
  return all;
}

bj::object host_config(const config::ContainerSettings& settings, const std::string& port) {
  std::string outside = settings.host_port == 0 ? "" : std::to_string(settings.host_port);
  bj::object binding{{"HostIp", "127.0.0.1"}, {"HostPort", outside}};
  bj::object host{{"PortBindings", bj::object{{port, bj::array{std::move(binding)}}}},
                  {"RestartPolicy", bj::object{{"Name", "no"}}},
                  {"SecurityOpt", bj::array{"no-new-privileges"}}};
  if (!settings.mounts.empty()) host["Binds"] = texts(settings.mounts);
  if (settings.memory > 0) host["Memory"] = settings.memory;
  if (settings.cpus > 0) host["NanoCpus"] = std::llround(settings.cpus * 1e9);
  if (!settings.gpus.empty()) {
    auto wanted = parse_int(settings.gpus);
    bj::array all_of;  // braces around one array would copy it
    all_of.emplace_back("gpu");
    bj::array any_of;
    any_of.emplace_back(std::move(all_of));
    host["DeviceRequests"] = bj::array{
        bj::object{{"Count", wanted ? *wanted : -1}, {"Capabilities", std::move(any_of)}}};
  }
  return host;
}

}  // namespace

ContainerSpec make_spec(const config::ContainerSettings& settings,
                        const std::map<std::string, std::string>& environment) {
  std::string port = fmt::format("{}/tcp", settings.port);
  bj::object body{{"Image", settings.image},
                  {"Env", environment_of(settings, environment)},
                  {"ExposedPorts", bj::object{{port, bj::object{}}}},
                  {"HostConfig", host_config(settings, port)}};
  if (!settings.command.empty()) body["Cmd"] = texts(settings.command);
  models::Sha256 hash;
  hash.update(json::serialize(body));
  ContainerSpec spec;
  spec.digest = hash.digest();
  body["Labels"] = bj::object{{kNameLabel, settings.name}, {kSpecLabel, spec.digest}};
  spec.body = json::serialize(body);
  return spec;
}

}  // namespace corral::engines::docker

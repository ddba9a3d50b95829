#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "config/checks.hpp"
#include "config/containers.hpp"
#include "config/node.hpp"
#include "config/reader.hpp"

namespace corral::config {
namespace {

using Problems = std::vector<Problem>;

constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kDigits = "0123456789";
// Below it the Docker Engine makes no container.
constexpr std::uint64_t kLeastMemory = 6ull << 20;

bool consists_of(std::string_view text, std::string_view more) {
  return std::ranges::all_of(text, [&](char c) {
    return kLetters.find(c) != kLetters.npos || kDigits.find(c) != kDigits.npos ||
           more.find(c) != more.npos;
  });
}

bool begins_plainly(std::string_view text) {
  return !text.empty() && consists_of(text.substr(0, 1), "");
}

// The Docker Engine's rule for names of containers and volumes.
bool is_docker_name(std::string_view name) {
  return name.size() >= 2 && begins_plainly(name) && consists_of(name, "_.-");
}

std::string image_problem(std::string_view image) {
  if (image.empty()) return "is missing";
  bool plain = image.size() <= 512 && begins_plainly(image) && consists_of(image, "./:_@-") &&
               image.find("..") == image.npos && image.find("//") == image.npos;
  if (plain) return {};
  return fmt::format("{} is no image, such as docker.io/ollama/ollama:0.6.2",
                     quoted_for_message(image));
}

bool is_variable(std::string_view name) {
  return !name.empty() && kDigits.find(name[0]) == kDigits.npos && consists_of(name, "_");
}

std::string mount_problem(std::string_view mount) {
  auto parts = split(mount, ':');
  auto said = quoted_for_message(mount);
  bool form = parts.size() == 2 || (parts.size() == 3 && (parts[2] == "ro" || parts[2] == "rw"));
  if (!form) return fmt::format("{} is neither SOURCE:TARGET nor SOURCE:TARGET:ro", said);
  if (!parts[0].starts_with('/') && !is_docker_name(parts[0])) {
    return fmt::format("the source of {} is neither an absolute path nor the name of a volume",
                       said);
  }
  if (!parts[1].starts_with('/') || parts[1] == "/") {
    return fmt::format("the target of {} is no absolute path below /", said);
  }
  return {};
}

std::string gpus_problem(std::string_view gpus) {
  if (gpus.empty() || gpus == "all") return {};
  auto wanted = parse_int(gpus);
  if (wanted && *wanted >= 1 && *wanted <= 1024) return {};
  return fmt::format("{} is neither \"all\" nor a number of accelerators",
                     quoted_for_message(gpus));
}

std::string path_problem(std::string_view path) {
  if (path.empty()) return {};
  if (!path.starts_with('/')) return "must begin with /, or be empty";
  if (consists_of(path, "/._~-")) return {};
  return fmt::format("{} is no plain path", quoted_for_message(path));
}

class Checks {
 public:
  Checks(std::string path, Problems& problems) : path_(std::move(path)), problems_(problems) {}

  void add(std::string_view member, std::string problem) {
    if (!problem.empty()) problems_.push_back({joined(path_, member), std::move(problem)});
  }

  void all(const ContainerSettings& container) {
    auto endpoint = endpoint_of(container, 1);
    auto path = path_problem(container.path);
    if (!path.empty()) endpoint.url = "http://127.0.0.1:1";
    check_endpoint(endpoint, path_, problems_);
    if (!container.name.empty() && !is_docker_name(container.name)) {
      add("name", fmt::format("{} is no name for a container: at least two of letters, digits and "
                              "._-, the first a letter or digit",
                              quoted_for_message(container.name)));
    }
    add("image", image_problem(container.image));
    add("path", std::move(path));
    add("gpus", gpus_problem(container.gpus));
    for (const auto& mount : container.mounts) add("mounts", mount_problem(mount));
    for (std::string_view entry : container.environment) {
      auto name = entry.substr(0, entry.find('='));
      if (is_variable(name)) continue;
      // A value may be a secret, so only the name is repeated.
      add("environment", fmt::format("{} is no name of a variable; NAME=VALUE, or NAME alone",
                                     quoted_for_message(name)));
    }
    if (container.memory > 0 && container.memory < kLeastMemory) {
      add("memory", "is less than 6 MiB, which no container can have");
    }
  }

 private:
  std::string path_;
  Problems& problems_;
};

}  // namespace

EndpointSettings endpoint_of(const ContainerSettings& container, std::uint16_t port) {
  EndpointSettings endpoint;
  endpoint.name = container.name;
  endpoint.binding = container.binding;
  unsigned shown = port != 0 ? port : container.host_port != 0 ? container.host_port : 1;
  endpoint.url = fmt::format("http://127.0.0.1:{}{}", shown, container.path);
  endpoint.models = container.models;
  endpoint.api_key = container.api_key;
  endpoint.capacity = container.capacity;
  endpoint.device = container.device;
  endpoint.memory = container.memory;
  return endpoint;
}

std::vector<EndpointSettings> with_containers(const Settings& settings) {
  auto all = settings.endpoints;
  all.reserve(all.size() + settings.docker.containers.size());
  for (const auto& container : settings.docker.containers) {
    all.push_back(endpoint_of(container, 0));
  }
  return all;
}

std::vector<Problem> validate_containers(const Settings& settings) {
  Problems problems;
  std::map<std::string, std::string> names;  // lower case -> where it stands
  for (const auto& each : settings.endpoints) names.emplace(to_lower(each.name), "an endpoint");
  std::map<unsigned, std::string> ports;
  const auto& docker = settings.docker;
  if (!docker.containers.empty() && !docker.socket.starts_with('/')) {
    problems.push_back({"docker.socket", "must be an absolute path, as /var/run/docker.sock"});
  }
  for (std::size_t i = 0; i < docker.containers.size(); ++i) {
    const auto& container = docker.containers[i];
    Checks checks(fmt::format("docker.containers[{}]", i), problems);
    checks.all(container);
    auto [name, fresh] = names.emplace(to_lower(container.name), "another container");
    if (!container.name.empty() && !fresh) {
      checks.add("name", fmt::format("{} is called {} too", name->second,
                                     quoted_for_message(container.name)));
    }
    if (container.host_port == 0) continue;
    auto [port, free] = ports.emplace(container.host_port, container.name);
    if (!free) {
      checks.add("host_port", fmt::format("{} is that of the container {} already",
                                          container.host_port, quoted_for_message(port->second)));
    }
  }
  return problems;
}

}  // namespace corral::config

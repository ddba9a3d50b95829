#include "engines/docker/docker_types.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::engines::docker {
namespace {

namespace bj = boost::json;

// All that is used has been there since 1.40; 1.47 is the newest whose documentation was read.
constexpr ApiVersion kOldest{1, 40};
constexpr ApiVersion kNewest{1, 47};
constexpr std::size_t kLongestMessage = 600;

const bj::value* member(const bj::value* from, std::string_view name) {
  const bj::object* object = from == nullptr ? nullptr : from->if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::string text(const bj::value* from, std::string_view name) {
  const bj::value* found = member(from, name);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

bool flag(const bj::value* from, std::string_view name) {
  const bj::value* found = member(from, name);
  return found != nullptr && found->is_bool() && found->get_bool();
}

double number(const bj::value* from, std::string_view name) {
  const bj::value* found = member(from, name);
  if (found == nullptr || !found->is_number()) return 0;
  double value = found->to_number<double>();
  return std::isfinite(value) ? value : 0;
}

std::uint64_t count(const bj::value* from, std::string_view name) {
  double value = number(from, name);
  if (value <= 0) return 0;
  return value >= 1e18 ? static_cast<std::uint64_t>(1e18) : static_cast<std::uint64_t>(value);
}

Error rubbish(std::string_view what) {
  return fail(ErrorCode::upstream,
              fmt::format("the Docker Engine answered with something that is no {}", what))
      .hint("is docker.socket the socket of Docker, or of Podman's service?");
}

Labels labels_in(const bj::value* from) {
  Labels labels;
  const bj::value* found = member(from, "Labels");
  if (found == nullptr || !found->is_object()) return labels;
  for (const auto& [key, value] : found->get_object()) {
    if (value.is_string()) labels.emplace(key, value.get_string());
  }
  return labels;
}

// A message of the engine on one line, cut where it goes on for ever.
std::string short_message(std::string message) {
  std::ranges::replace(message, '\n', ' ');
  std::ranges::replace(message, '\r', ' ');
  if (message.size() > kLongestMessage) {
    message.resize(kLongestMessage);
    while (!message.empty() && !is_utf8(message)) message.pop_back();
    message += "...";
  }
  return message;
}

std::optional<std::uint16_t> port_number(std::string_view digits) {
  auto value = parse_int(digits);
  if (!value || *value < 1 || *value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*value);
}

// NetworkSettings.Ports: {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "36565"}], "53/udp":
// null}
std::map<unsigned, std::uint16_t> ports_in(const bj::value& document) {
  std::map<unsigned, std::uint16_t> ports;
  const bj::value* all = member(member(&document, "NetworkSettings"), "Ports");
  if (all == nullptr || !all->is_object()) return ports;
  for (const auto& [key, bindings] : all->get_object()) {
    std::string_view name = key;
    if (!name.ends_with("/tcp") || !bindings.is_array()) continue;
    auto inside = port_number(name.substr(0, name.size() - 4));
    for (const auto& binding : bindings.get_array()) {
      auto outside = port_number(text(&binding, "HostPort"));
      if (inside && outside) ports.emplace(*inside, *outside);
    }
  }
  return ports;
}

}  // namespace

std::optional<ApiVersion> parse_api_version(std::string_view text) {
  auto parts = split(trim(text), '.');
  if (parts.size() != 2) return std::nullopt;
  auto major = parse_int(parts[0]);
  auto minor = parse_int(parts[1]);
  if (!major || !minor || *major < 0 || *minor < 0 || *major > 999 || *minor > 9999) {
    return std::nullopt;
  }
  return ApiVersion{static_cast<unsigned>(*major), static_cast<unsigned>(*minor)};
}

std::string to_string(ApiVersion version) {
  return fmt::format("{}.{}", version.major, version.minor);
}

Result<ApiVersion> negotiate(ApiVersion least, ApiVersion newest) {
  if (newest < kOldest) {
    return fail(ErrorCode::unsupported,
                fmt::format("the Docker Engine speaks API {}, and at least {} is needed",
                            to_string(newest), to_string(kOldest)))
        .hint("Docker 19.03 and Podman 3 are new enough");
  }
  if (least > kNewest) {
    return fail(ErrorCode::unsupported,
                fmt::format("the Docker Engine wants API {} or newer, and Corral knows up to {}",
                            to_string(least), to_string(kNewest)))
        .hint("a newer Corral, or an older Docker");
  }
  return std::min(newest, kNewest);
}

Result<KnownVersions> parse_versions(std::string_view body) {
  auto document = json::parse(body);
  auto newest = document ? parse_api_version(text(&*document, "ApiVersion")) : std::nullopt;
  if (!newest) return rubbish("version");
  auto least = parse_api_version(text(&*document, "MinAPIVersion"));
  return KnownVersions{least.value_or(ApiVersion{1, 12}), *newest};
}

Result<std::vector<ContainerSummary>> parse_containers(std::string_view body) {
  auto document = json::parse(body);
  if (!document || !document->is_array()) return rubbish("list of containers");
  std::vector<ContainerSummary> all;
  all.reserve(document->get_array().size());
  for (const auto& each : document->get_array()) {
    ContainerSummary summary;
    summary.id = text(&each, "Id");
    if (summary.id.empty()) continue;
    const bj::value* names = member(&each, "Names");
    if (names != nullptr && names->is_array() && !names->get_array().empty() &&
        names->get_array()[0].is_string()) {
      summary.name = names->get_array()[0].get_string();
      if (summary.name.starts_with('/')) summary.name.erase(0, 1);
    }
    summary.image = text(&each, "Image");
    summary.state = text(&each, "State");
    summary.status = text(&each, "Status");
    summary.labels = labels_in(&each);
    all.push_back(std::move(summary));
  }
  return all;
}

Result<ContainerDetails> parse_container(std::string_view body) {
  auto document = json::parse(body);
  if (!document) return rubbish("container");
  ContainerDetails details;
  details.id = text(&*document, "Id");
  if (details.id.empty()) return rubbish("container");
  const bj::value* state = member(&*document, "State");
  details.running = flag(state, "Running");
  details.out_of_memory = flag(state, "OOMKilled");
  details.exit_code = static_cast<int>(std::clamp(number(state, "ExitCode"), -255.0, 255.0));
  details.error = short_message(text(state, "Error"));
  details.labels = labels_in(member(&*document, "Config"));
  details.host_ports = ports_in(*document);
  return details;
}

// Memory as `docker stats` shows it: without inactive pages of files. cgroup v1 names them
// total_inactive_file, v2 inactive_file (docs.docker.com/reference/cli/docker/container/stats).
Result<ContainerUsage> parse_usage(std::string_view body) {
  auto document = json::parse(body);
  if (!document || !document->is_object()) return rubbish("statistics");
  const bj::value* memory = member(&*document, "memory_stats");
  const bj::value* detail = member(memory, "stats");
  ContainerUsage usage;
  usage.memory = count(memory, "usage");
  std::uint64_t cache = count(detail, "total_inactive_file");
  if (cache == 0) cache = count(detail, "inactive_file");
  usage.memory -= std::min(usage.memory, cache);
  usage.memory_limit = count(memory, "limit");
  const bj::value* cpu = member(member(&*document, "cpu_stats"), "cpu_usage");
  usage.cpu_seconds = static_cast<double>(count(cpu, "total_usage")) / 1e9;
  return usage;
}

Result<DockerEvent> parse_event(std::string_view line) {
  auto document = json::parse(line);
  if (!document || !document->is_object()) return rubbish("event");
  const bj::value* actor = member(&*document, "Actor");
  DockerEvent event;
  event.action = text(&*document, "Action");
  event.id = text(actor, "ID");
  event.name = text(member(actor, "Attributes"), "name");
  return event;
}

Result<std::string> parse_created(std::string_view body) {
  auto document = json::parse(body);
  std::string id = document ? text(&*document, "Id") : std::string();
  if (id.empty()) return rubbish("new container");
  return id;
}

std::string error_message(std::string_view body) {
  auto document = json::parse(body);
  return document ? short_message(text(&*document, "message")) : std::string();
}

ImageReference parse_image(std::string_view reference) {
  auto at = reference.find('@');
  if (at != std::string_view::npos) {
    std::string_view name = reference.substr(0, at);
    auto colon = name.rfind(':');  // "name:tag@digest": the digest decides
    bool tagged = colon != std::string_view::npos && name.find('/', colon) == name.npos;
    return {std::string(tagged ? name.substr(0, colon) : name),
            std::string(reference.substr(at + 1))};
  }
  auto colon = reference.rfind(':');  // a colon before a slash belongs to a port
  if (colon == std::string_view::npos || reference.find('/', colon) != std::string_view::npos) {
    return {std::string(reference), "latest"};
  }
  return {std::string(reference.substr(0, colon)), std::string(reference.substr(colon + 1))};
}

Result<void> PullMeter::take(std::string_view line) {
  auto document = json::parse(line);
  if (!document || !document->is_object()) return rubbish("progress of a pull");
  std::string error = text(member(&*document, "errorDetail"), "message");
  if (error.empty()) error = text(&*document, "error");
  if (!error.empty()) {
    error = short_message(std::move(error));
    std::string lower = to_lower(error);
    bool missing = lower.find("not found") != std::string::npos ||
                   lower.find("manifest unknown") != std::string::npos ||
                   lower.find("denied") != std::string::npos;
    return fail(missing ? ErrorCode::not_found : ErrorCode::upstream,
                fmt::format("the image cannot be pulled: {}", error))
        .hint(
            "check its name, and that this machine reaches the registry; docker login for a "
            "private one");
  }
  std::string status = short_message(text(&*document, "status"));
  if (!status.empty()) status_ = status;
  std::string id = text(&*document, "id");
  if (id.empty()) return {};
  const bj::value* detail = member(&*document, "progressDetail");
  bool known = layers_.contains(id);
  if (!known && layers_.size() >= kMostLayers) return {};
  if (status == "Downloading" || status == "Download complete") {
    auto& layer = layers_[id];
    layer.total = std::max(layer.total, count(detail, "total"));
    layer.done =
        status == "Downloading" ? std::min(count(detail, "current"), layer.total) : layer.total;
  } else if (known && status == "Pull complete") {
    layers_[id].done = layers_[id].total;
  }
  return {};
}

std::uint64_t PullMeter::done() const {
  std::uint64_t sum = 0;
  for (const auto& [id, layer] : layers_) sum += layer.done;
  return sum;
}

std::uint64_t PullMeter::total() const {
  std::uint64_t sum = 0;
  for (const auto& [id, layer] : layers_) sum += layer.total;
  return sum;
}

}  // namespace corral::engines::docker

// What the Docker Engine API says, read without trusting it: a missing or wrong field is an empty
// value or an `upstream` error, never a crash. Unknown fields are skipped.
// Source: Docker Engine API 1.41 to 1.47 (docs.docker.com/reference/api/engine).
// Thread rule: plain values and pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::engines::docker {

// Puts our mark on what we made: the name in the configuration, and the digest of its settings.
inline constexpr std::string_view kNameLabel = "corral.container";
inline constexpr std::string_view kSpecLabel = "corral.spec";

using Labels = std::map<std::string, std::string>;

// "1.41"
struct ApiVersion {
  unsigned major = 0;
  unsigned minor = 0;
  auto operator<=>(const ApiVersion&) const = default;
};
std::optional<ApiVersion> parse_api_version(std::string_view text);
std::string to_string(ApiVersion version);

// The version to speak with a server that knows `least` to `newest`. unsupported with what to do.
Result<ApiVersion> negotiate(ApiVersion least, ApiVersion newest);

struct ContainerSummary {
  std::string id;
  std::string name;  // without the slash
  std::string image;
  std::string state;   // created, running, paused, restarting, removing, exited, dead
  std::string status;  // "Up 3 minutes"
  Labels labels;

  bool running() const { return state == "running"; }
};

struct ContainerDetails {
  std::string id;
  Labels labels;
  bool running = false;
  bool out_of_memory = false;
  int exit_code = 0;
  std::string error;                             // of its start, by the engine
  std::map<unsigned, std::uint16_t> host_ports;  // TCP port inside -> port of this host
};

struct ContainerUsage {
  std::uint64_t memory = 0;        // bytes, without what the page cache could give back
  std::uint64_t memory_limit = 0;  // 0: none said
  double cpu_seconds = 0;          // since it began
};

struct DockerEvent {
  std::string action;  // "die", "start", "destroy", "oom", "health_status: healthy"
  std::string id;
  std::string name;
};

struct KnownVersions {
  ApiVersion least;
  ApiVersion newest;
};
Result<KnownVersions> parse_versions(std::string_view body);  // of GET /version
Result<std::vector<ContainerSummary>> parse_containers(std::string_view body);
Result<ContainerDetails> parse_container(std::string_view body);
Result<ContainerUsage> parse_usage(std::string_view body);
Result<DockerEvent> parse_event(std::string_view line);
Result<std::string> parse_created(std::string_view body);  // the id
// What an error answer says; empty when it says nothing.
std::string error_message(std::string_view body);

// Where a name of an image leads: "ollama/ollama:0.6" -> {"ollama/ollama", "0.6"}; a digest is its
// own tag ("sha256:..."); without either the tag is "latest", since none would mean all of them.
struct ImageReference {
  std::string name;
  std::string tag;
};
ImageReference parse_image(std::string_view reference);

// Bytes of a pull as they come: JSON objects one after the other, one for each change of a layer.
class PullMeter {
 public:
  static constexpr std::size_t kMostLayers = 4096;

  // One line. upstream or not_found when it says that the pull failed.
  Result<void> take(std::string_view line);
  std::uint64_t done() const;
  std::uint64_t total() const;  // of the layers that are known so far
  const std::string& status() const { return status_; }

 private:
  struct Layer {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
  };
  std::map<std::string, Layer> layers_;
  std::string status_;
};

}  // namespace corral::engines::docker

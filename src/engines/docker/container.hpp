// One configured container kept running: looked for, its image pulled, made, started, watched until
// it answers, started again when it ends. What is decided is in engines/core/container_machine.hpp;
// this is the driver. A container of the same name and settings that runs already is taken over as
// it is; one that others made is left alone.
//
// Thread rule: belongs to its shard. Listener functions are called there; they must not destroy the
// container. Lifecycle: construct, start() and others any number of times, `co_await close()`
// (which leaves the container itself as it is), destroy.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "engines/core/container_machine.hpp"
#include "engines/docker/container_watch.hpp"
#include "engines/docker/docker_client.hpp"
#include "net/shard.hpp"
#include "sys/clock.hpp"
#include "telemetry/log.hpp"

namespace corral::engines::docker {

struct PullState {
  std::string status;  // "Downloading"
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

struct ContainerInfo {
  ContainerState state = ContainerState::absent;
  sys::Wall since;         // when this state began
  std::string id;          // empty: not known to exist
  std::uint16_t port = 0;  // of this host's loopback; 0: none
  bool adopted = false;    // it ran already
  unsigned restarts = 0;
  std::optional<Error> last_error;
  std::optional<PullState> pull;  // under way
  std::optional<ContainerUsage> usage;
};

// What a container needs of the rest; all of it outlives it.
struct ContainerServices {
  net::Shard& shard;
  DockerClient& docker;
  const sys::Clock& clock;
  telemetry::Logger log;
  std::map<std::string, std::string> environment;  // Corral's own
  std::function<void()> refresh;                   // the list has changed
};

class Container {
 public:
  struct Listener {
    std::function<void()> changed;  // its state or address
  };

  Container(config::ContainerSettings settings, ContainerServices services, Listener listener,
            ContainerPolicy policy);
  ~Container();
  Container(const Container&) = delete;

  void start();
  void stop();
  void restart();
  void remove();
  // Until nothing is under way any more; the error of one that failed or is tried again later.
  net::Task<Result<void>> settled();
  using Report = std::function<void(const PullState&)>;
  net::Task<Result<void>> pull(Report report);  // the image anew
  net::Task<void> measure();                    // its usage
  void seen(const Listing& listing);
  net::Task<void> close();

  const config::ContainerSettings& settings() const;
  ContainerInfo info() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace corral::engines::docker

// All containers that are configured: made to run, watched together, changed by a reload, acted on
// by administrators. Those with our label that are no longer configured are shown, and can be
// removed, but are left alone.
//
// Thread rule: belongs to the control shard. Lifecycle: construct, apply() at start and with each
// reload, `co_await stop()`.
// Example:
//   Containers containers({control, clock, log, environment, metrics, [&] { show_endpoints(); }});
//   containers.apply(settings.docker);
//   for (const auto& each : containers.view()) ...
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/docker/container.hpp"
#include "telemetry/metrics.hpp"

namespace corral::engines::docker {

struct ContainersParts {
  net::Shard& control;
  const sys::Clock& clock;
  telemetry::Logger log;
  std::map<std::string, std::string> environment;  // Corral's own
  telemetry::Metrics& metrics;
  std::function<void()> changed;  // the state or address of any
  // Tests make them quicker.
  WatchPace pace;
  std::optional<ContainerPolicy> policy;
};

struct ContainerView {
  std::string name;
  std::string image;
  bool configured = true;
  std::string docker_state;   // as the engine says: "running", "exited"; empty: there is none
  std::string docker_status;  // "Up 3 minutes"
  std::string url;            // of its API; empty: none now
  ContainerInfo info;
};

enum class ContainerCommand { start, stop, restart, remove, pull };

struct LogLine {
  LogStream from = LogStream::out;
  std::string text;
};

class Containers {
 public:
  static constexpr unsigned kMostLogLines = 2'000;

  explicit Containers(ContainersParts parts);
  ~Containers();

  // Starts what is new, removes what is gone, makes anew what changed, keeps the rest.
  void apply(const config::DockerSettings& settings);
  net::Task<void> stop();

  std::vector<ContainerView> view() const;
  const std::optional<Error>& problem() const;  // why the engine cannot be asked now
  // Until it is done. not_found with the nearest names; conflict.
  net::Task<Result<void>> act(std::string name, ContainerCommand command,
                              Container::Report report = {});
  net::Task<Result<std::vector<LogLine>>> logs(std::string name, unsigned tail);

  // Why a container's endpoint cannot be asked; empty when it can.
  static std::string why_not(const ContainerView& view);

 private:
  struct Engine;  // one socket: client and watch
  struct Entry;
  using Entries = std::map<std::string, std::shared_ptr<Entry>>;

  net::Task<void> change();
  net::Task<void> change_to(config::DockerSettings settings);
  net::Task<void> retire(std::shared_ptr<Entry> entry, bool and_remove);
  net::Task<void> measure();
  net::Task<void> measure_one(std::shared_ptr<Entry> entry);
  std::shared_ptr<Entry> make(const config::ContainerSettings& settings);
  void seen(const Listing& listing);
  void note_metrics();
  ContainerView view_of(const Container& container) const;
  std::optional<ContainerSummary> stray(const std::string& name) const;
  Error unknown(const std::string& name) const;

  ContainersParts parts_;
  std::shared_ptr<Engine> engine_;  // whoever waits for it holds it
  Entries entries_;
  std::optional<config::DockerSettings> wanted_;
  bool changing_ = false;
  bool stopping_ = false;
  bool told_strays_ = false;
  net::TaskGroup tasks_;
};

}  // namespace corral::engines::docker

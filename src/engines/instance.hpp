// One engine process kept alive: finds a free port, starts llama-server, waits until it serves,
// puts its log lines into ours, starts it again after a crash, stops it by SIGTERM and then
// SIGKILL. What it decides is in engines/core/instance_machine.hpp; this is the driver.
//
// Thread rule: belongs to the control shard (its thread starts the children and outlives all
// others, and children die with the thread that started them). Listener functions are called there;
// they may call start() and stop() but must not destroy the instance. Lifecycle: construct, start()
// and stop() any number of times, `co_await close()`, destroy. Example:
//   Instance instance(spec, services, {.ready = [&](const InstanceAddress& at) { route_to(at); },
//                                      .down = [&](const Error&) { stop_routing(); }});
//   instance.start();
//   ...
//   instance.stop();
//   co_await instance.stopped();
//   co_await instance.close();
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "engines/core/instance_machine.hpp"
#include "engines/llama_server.hpp"
#include "net/shard.hpp"
#include "net/task.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"
#include "sys/resource_limits.hpp"
#include "telemetry/log.hpp"

namespace corral::engines {

// Where a ready instance answers. The key changes with each process; without it the engine answers
// nothing but /health, so other users of this host cannot use it past Corral.
struct InstanceAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  config::Secret api_key;  // Authorization: Bearer <key>
  std::string url() const { return "http://" + host + ":" + std::to_string(port); }
};

struct InstanceInfo {
  InstanceState state = InstanceState::stopped;
  int pid = 0;             // 0: no process
  std::uint16_t port = 0;  // 0: no process
  sys::Wall since;         // when this state began
  unsigned restarts = 0;   // since start()
  std::optional<Error> last_error;
  std::uint64_t resident_bytes = 0;
  std::chrono::milliseconds cpu_time{0};
  std::uint64_t memory_limit = 0;  // bytes; 0: none
  sys::LimitWays limited_by;       // of those that it has
};

// What an instance needs of the rest of the program; all of it outlives the instance.
struct InstanceServices {
  net::Shard& shard;
  sys::Processes& processes;
  sys::Files& files;
  const sys::Clock& clock;
  telemetry::Logger log;
  sys::Path cache_folder;                 // where built engines lie (sys::user_folders().cache)
  unsigned physical_cores = 1;            // threads of an engine, unless configured
  sys::ResourceLimits* limits = nullptr;  // none: what is used of memory is watched
  net::Shards* shards = nullptr;          // who, besides `shard`, may hold connections to an engine
};

class Instance {
 public:
  struct Listener {
    std::function<void(const InstanceAddress&)> ready;
    std::function<void(const Error&)> down;    // was ready, is no more; it will be started again
    std::function<void(const Error&)> failed;  // given up; start() tries again
    std::function<void()> stopped;
  };

  Instance(InstanceSpec spec, InstanceServices services, Listener listener);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void start();  // nothing if it runs already
  void stop();   // SIGTERM, after settings.stop_timeout SIGKILL; close its streams before
  InstanceState state() const;
  InstanceInfo info() const;
  const InstanceSpec& spec() const;

  net::Task<void> stopped();  // until there is no process: `stopped` or `failed`
  net::Task<void> close();    // stops for good and waits for everything
 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace corral::engines

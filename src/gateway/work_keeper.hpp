// Keeps what targets learn of how long work takes: reads it at the start, writes what is new now
// and then and at the end. Requests notice nothing of it: the database is asked on the pool.
//
// A database that is away costs nothing but what is learned until it is back: that is written then.
//
// Thread rule: belongs to the control shard. Lifecycle: `co_await recall()` before the registry's
// endpoints are there, start(), `co_await stop()` when no requests come any more; what it is given
// outlives it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gateway/endpoint_registry.hpp"
#include "gateway/learned_work.hpp"
#include "net/shard.hpp"
#include "telemetry/log.hpp"

namespace corral::gateway {

struct WorkKeeperParts {
  EndpointRegistry& registry;
  LearnedWorkStore store;
  net::Shard& control;
  net::BlockingPool& pool;
  telemetry::Logger log;
  std::chrono::milliseconds period = std::chrono::seconds(30);
};

class WorkKeeper {
 public:
  explicit WorkKeeper(WorkKeeperParts parts);

  net::Task<void> recall();
  void start();
  net::Task<void> stop();

 private:
  net::Task<void> keep();
  net::Task<void> save();

  WorkKeeperParts parts_;
  net::TaskGroup tasks_;
  std::map<std::pair<std::string, std::string>, LearnedWork> unsaved_;
  bool failing_ = false;  // said already
};

}  // namespace corral::gateway

// Engines in containers: the containers, the endpoints that they are, and their part of the admin
// API.
// Thread rule: made on the main thread; start, reload and stop on the control shard. Lifecycle:
// outlives the API, whose routes lead here.
#pragma once

#include "api/admin/container_admin.hpp"
#include "config/settings.hpp"
#include "engines/docker/containers.hpp"
#include "gateway/route_control.hpp"
#include "net/shard.hpp"

namespace corral::app {

class ContainerService {
 public:
  ContainerService(net::Shards& shards, const sys::Clock& clock, telemetry::Logger log,
                   telemetry::Metrics& metrics, gateway::RouteControl& routes);

  void add_routes(api::Router& router, api::admin::Operations& operations);
  void apply(const config::Settings& settings) { containers_.apply(settings.docker); }
  net::Task<void> stop();

 private:
  void tell_routes();

  net::Shard& control_;
  gateway::RouteControl& routes_;
  engines::docker::Containers containers_;
  std::unique_ptr<net::TaskGroup> tasks_;
  std::unique_ptr<api::admin::ContainerAdmin> admin_;
};

}  // namespace corral::app

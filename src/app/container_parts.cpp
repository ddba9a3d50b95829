#include "app/container_parts.hpp"

#include "sys/process.hpp"

namespace corral::app {

ContainerService::ContainerService(net::Shards& shards, const sys::Clock& clock,
                                   telemetry::Logger log, telemetry::Metrics& metrics,
                                   gateway::RouteControl& routes)
    : control_(shards.control()),
      routes_(routes),
      containers_({shards.control(),
                   clock,
                   std::move(log),
                   sys::environment_without({}),
                   metrics,
                   [this] { tell_routes(); },
                   {},
                   {}}),
      tasks_(std::make_unique<net::TaskGroup>(shards.control())) {}

void ContainerService::add_routes(api::Router& router, api::admin::Operations& operations) {
  admin_ = std::make_unique<api::admin::ContainerAdmin>(containers_, control_, *tasks_, operations);
  admin_->add_routes(router);
}

void ContainerService::tell_routes() {
  gateway::ContainerPlaces places;
  for (const auto& each : containers_.view()) {
    if (!each.configured) continue;
    places[each.name] = {each.info.port, engines::docker::Containers::why_not(each)};
  }
  routes_.set_containers(std::move(places));
}

net::Task<void> ContainerService::stop() {
  co_await tasks_->close();
  co_await containers_.stop();
}

}  // namespace corral::app

// The admin surface's part for engines in containers: what there is and how it does, starting,
// stopping, pulling (as operations), and the last lines of a log.
// Thread rule: as the router's handlers; the containers belong to the control shard.
#pragma once

#include "api/admin/operations.hpp"
#include "api/router.hpp"
#include "engines/docker/containers.hpp"

namespace corral::api::admin {

class ContainerAdmin {
 public:
  ContainerAdmin(engines::docker::Containers& containers, net::Shard& control,
                 net::TaskGroup& tasks, Operations& operations)
      : containers_(containers), control_(control), tasks_(tasks), operations_(operations) {}

  void add_routes(Router& router);

 private:
  net::Task<void> list(Call& call);
  net::Task<void> one(Call& call);
  net::Task<void> act(Call& call, engines::docker::ContainerCommand command);
  net::Task<void> logs(Call& call);

  engines::docker::Containers& containers_;
  net::Shard& control_;
  net::TaskGroup& tasks_;  // of the control shard
  Operations& operations_;
};

}  // namespace corral::api::admin

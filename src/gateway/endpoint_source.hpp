// Where the gateway finds the engines of our own; implemented by the scheduler.
//
// Thread rule: used by all serving shards.
#pragma once

#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "gateway/endpoint.hpp"
#include "gateway/queue_place.hpp"
#include "inference/request.hpp"
#include "net/task.hpp"

namespace corral::gateway {

// A model at an engine of ours.
struct Target {
  std::shared_ptr<Endpoint> endpoint;
  std::string backend_model;  // the model's name there
};

// Knows the models that engines of ours can serve; implemented by the scheduler.
class EndpointSource {
 public:
  virtual ~EndpointSource() = default;
  // The endpoint that is ready now, without waiting; nullptr inside when there is none.
  virtual Target ready(const ModelName& model, inference::Operation operation) const = 0;
  // Makes one ready (starts the model). not_found with the nearest names for an unknown model;
  // unavailable when it cannot be started, with the reason; cancelled.
  // `on_wait`, which may be empty, is told on the caller's shard how it stands: at once if the
  // caller has to wait, and every second or so.
  virtual net::Task<Result<Target>> ensure(ModelName model, inference::Operation operation,
                                           OnWait on_wait) = 0;
};

}  // namespace corral::gateway

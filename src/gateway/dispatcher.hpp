// From a request to an answer under way: finds the model's endpoint, waits for a place there, opens
// the call. Retries only what cannot have had an effect: an endpoint that closed while the caller
// waited, or an instance of ours that refused the connection (it is restarting).
//
// Thread rule: stateless; used by all serving shards.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "gateway/endpoint.hpp"

namespace corral::gateway {

// Where requests for a model go.
struct Target {
  std::shared_ptr<Endpoint> endpoint;
  std::string backend_model;  // the model's name there
};

// Knows the models and their endpoints; implemented by the scheduler.
class EndpointSource {
 public:
  virtual ~EndpointSource() = default;
  // The endpoint that is ready now, without waiting; nullptr inside when there is none.
  virtual Target ready(const ModelName& model, inference::Operation operation) const = 0;
  // Makes one ready (starts the model). not_found with the nearest names for an unknown model;
  // unavailable when it cannot be started, with the reason; cancelled.
  virtual net::Task<Result<Target>> ensure(ModelName model, inference::Operation operation) = 0;
};

// How long a call may take; replaced as a whole when the configuration is read again.
struct CallLimits {
  bindings::CallTimeouts timeouts;
  std::chrono::milliseconds total{1'800'000};  // from the request to the end of its answer
};

// An answer under way and what it holds.
struct Dispatched {
  Lease lease;  // declared first: given back last
  std::unique_ptr<bindings::Answer> answer;
  std::chrono::nanoseconds waited{0};  // for the model and a place
  std::chrono::nanoseconds opened{0};  // from sending to the backend's first byte
  unsigned attempts = 0;
};

class Dispatcher {
 public:
  explicit Dispatcher(EndpointSource& source) : source_(source) {}

  // `request.backend_model` is filled in. The request outlives the call, not the answer.
  net::Task<Result<Dispatched>> open(inference::Request& request,
                                     bindings::CallTimeouts timeouts) const;

 private:
  EndpointSource& source_;
};

}  // namespace corral::gateway

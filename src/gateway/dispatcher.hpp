// From a request to an answer under way: finds the route of its model, waits for a place at one of
// its targets, opens the call, and tries elsewhere what failed before the client saw a byte of it.
//
// Thread rule: used by all serving shards. Lifecycle: construct, publish routes, use; outlives the
// requests.
#pragma once

#include <memory>
#include <string>

#include "gateway/flight.hpp"
#include "gateway/routing.hpp"
#include "net/snapshot.hpp"

namespace corral::gateway {

class Dispatcher {
 public:
  Dispatcher(net::Shards& shards, EndpointSource& source);

  // Fills in an empty `result`, and `request.backend_model` and `request.defaults`; after an error
  // `result` is empty again. All three outlive the call, the request and `caller` not the answer.
  // not_found for an unknown model; unavailable (with Retry-After) when nothing can answer now;
  // timeout, saying of what; or what the last endpoint said.
  net::Task<Result<void>> open(inference::Request& request, const Caller& caller,
                               Dispatched& result);

  // Goes on with an answer that broke off midway, at another target of its route. `request` asks
  // for the rest.
  net::Task<Result<void>> go_on(const Dispatched& broken, inference::Request& request,
                                const Caller& caller, Dispatched& result);

  void publish(std::shared_ptr<const Routing> routing) { routing_.publish(routing); }
  std::shared_ptr<const Routing> routing() const { return routing_.local(); }

  // A place became free, or a target may be used again: whoever waits for it gets it. Any thread.
  void poke() { room_.poke(); }
  // Ends the waits that are over, and lets in whom only the time lets in. Every 50 ms or so.
  void tick() { room_.tick(); }
  std::size_t waiting() const { return room_.waiting(); }

 private:
  EndpointSource& source_;
  net::Snapshot<Routing> routing_;
  WaitingRoom room_;
};

}  // namespace corral::gateway

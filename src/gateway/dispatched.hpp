// What goes into the gateway besides the request, and what comes out of it.
//
// Thread rule: plain values of one request.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/active_route.hpp"
#include "gateway/placement.hpp"
#include "gateway/route_queue.hpp"
#include "inference/event.hpp"
#include "net/task.hpp"

namespace corral::gateway {

// Where the last attempt went, for answers that are errors.
struct Attempts {
  std::string endpoint;
  unsigned count = 0;
};

// Who asks, as far as it decides about turns and places.
struct Caller {
  std::uint64_t principal = 0;  // a hash of who it is
  config::Priority priority = config::Priority::normal;
  std::optional<std::uint64_t> session;  // for routes that stick to sessions
  // Told now and then while the request waits in a queue, or for its model; may begin the answer's
  // stream.
  OnWait on_wait;
  Attempts* attempts = nullptr;  // filled in where it is given
};

// An answer under way and what it holds.
struct Dispatched {
  Placement place;  // declared first: given back last
  std::unique_ptr<bindings::Answer> answer;
  // What was read of the answer already, in this order: to be sent before next_bytes().
  std::string held;
  std::string_view first;                // valid until the next next_bytes()
  bool whole = false;                    // nothing follows
  std::vector<inference::Event> events;  // the whole answer, where it is not relayable

  std::shared_ptr<const ActiveRoute> route;
  std::string matched;  // what the '*' of the route's name stood for
  std::vector<std::shared_ptr<TargetState>> broke_off;  // targets that began this answer before
  std::chrono::nanoseconds waited{0};                   // for the model and a place
  std::chrono::nanoseconds queued{0};                   // of that: for a place
  std::chrono::nanoseconds opened{0};                   // from sending to the backend's first byte
  std::size_t queued_at = 0;  // its first position in the queue; 0: it did not wait
  unsigned attempts = 0;
  bool hedged = false;

  void clear();
};

}  // namespace corral::gateway

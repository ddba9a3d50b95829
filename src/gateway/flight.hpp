// One request on its way to an answer: chooses a target, waits for a place, tries, and tries again
// elsewhere. Ends as soon as there is something that may be sent to the client.
//
// Thread rule: belongs to the coroutine of its request, but for take(), which the queue may call on
// any thread while the request waits in it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/active_route.hpp"
#include "gateway/placement.hpp"
#include "gateway/waiting_room.hpp"
#include "inference/event.hpp"
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
  virtual net::Task<Result<Target>> ensure(ModelName model, inference::Operation operation) = 0;
};

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
  // Told now and then while the request waits in a queue; may begin the answer's stream.
  std::function<net::Task<void>(const QueuePlace&)> on_wait;
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
  std::chrono::nanoseconds opened{0};                   // from sending to the backend's first byte
  std::size_t queued_at = 0;  // its first position in the queue; 0: it did not wait
  unsigned attempts = 0;
  bool hedged = false;
};

class HedgeRun;

class Flight {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Flight(EndpointSource& source, WaitingRoom& room, std::shared_ptr<const ActiveRoute> route,
         std::string_view matched, inference::Request& request, const Caller& caller);

  net::Task<Result<Dispatched>> run();
  // The target of an answer that broke off is not asked to go on with it.
  void leave_out(const TargetState& state);

  // A place at the best target that is free now, without waiting.
  std::optional<Placement> take(Time now);

 private:
  enum class Standing { placed, load, busy, none_left, none_alive };
  class View;

  void follow_route();
  Standing choose(Time now, Placement& place, const ActiveTarget*& to_load);
  Standing choose_in(const ActiveGroup& group, Time now, Placement& place,
                     const ActiveTarget*& to_load);
  bool take_place(const ActiveGroup& group, const ActiveTarget& target, Time now,
                  Placement& place) const;
  bool place_at_once(Placement& place);
  net::Task<Result<Placement>> place();
  net::Task<Result<void>> load(const ActiveTarget& target);
  net::Task<Result<Placement>> wait_in_queue(bool anything_alive);
  net::Task<Result<Dispatched>> attempt(Placement place, inference::Request& request);
  net::Task<Result<Dispatched>> attempt_with_hedge(Placement place,
                                                   std::chrono::milliseconds delay);
  net::Task<void> run_lane(HedgeRun& hedge, HedgeRace::Lane lane, Placement place);
  std::optional<std::chrono::milliseconds> hedge_delay() const;
  net::Task<Result<void>> after_failure(Error error);
  Error last_words(Error error, Time now);
  bool another_alive(Time now);
  void note_failure(Placement& place, const Error& error, Time begun);
  Error nothing_available(Time now) const;
  BalanceKeys keys(const ActiveGroup& group);
  bool tried(const ActiveTarget& target) const;
  std::string model_at(const ActiveTarget& target) const {
    return target.spec->backend_model(matched_);
  }
  Target local(const ActiveTarget& target) const;

  EndpointSource& source_;
  WaitingRoom& room_;
  std::shared_ptr<const ActiveRoute> route_;
  std::string matched_;
  inference::Request& request_;
  const Caller& caller_;
  Time begun_;
  Time deadline_;  // of the whole answer
  std::vector<const ActiveTarget*> tried_;
  std::optional<Error> last_error_;
  std::optional<PrefixKeys> prefix_;
  std::vector<std::uint64_t> holders_;
  std::chrono::nanoseconds waited_{0};
  std::size_t queued_at_ = 0;
  unsigned attempts_ = 0;
};

}  // namespace corral::gateway

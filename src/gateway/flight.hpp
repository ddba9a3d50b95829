// One request on its way to an answer: chooses a target, waits for a place, tries, and tries again
// elsewhere. Ends as soon as there is something that may be sent to the client.
//
// Thread rule: belongs to the coroutine of its request, but for take(), which the queue may call on
// any thread while the request waits in it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/dispatched.hpp"
#include "gateway/endpoint_source.hpp"
#include "gateway/waiting_room.hpp"
#include "net/task.hpp"

namespace corral::gateway {

class HedgeRun;

class Flight {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Flight(EndpointSource& source, WaitingRoom& room, std::shared_ptr<const ActiveRoute> route,
         std::string_view matched, inference::Request& request, const Caller& caller);

  net::Task<Result<void>> run(Dispatched& result);  // see Dispatcher::open
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
  net::Task<void> while_loading(QueuePlace where, Time from);
  net::Task<Result<Placement>> wait_in_queue(bool anything_alive);
  net::Task<Result<void>> attempt(Placement place, inference::Request& request, Dispatched& result);
  net::Task<Result<void>> attempt_with_hedge(Placement place, std::chrono::milliseconds delay,
                                             Dispatched& result);
  net::Task<void> run_lane(HedgeRun& hedge, HedgeRace::Lane lane, Placement place);
  std::optional<std::chrono::milliseconds> hedge_delay() const;
  net::Task<Result<void>> after_failure(Error error);
  Error last_words(Error error, Time now);
  bool another_alive(Time now);
  void keep_siblings();
  void note_failure(Placement& place, const Error& error, Time begun);
  Outcome outcome_here(const Error& error) const;
  Error nobody_has_it(Error error, Time now);
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
  const Endpoint* failed_ = nullptr;  // the last one; only to be compared
  std::optional<Error> last_error_;
  std::optional<PrefixKeys> prefix_;
  std::vector<std::uint64_t> holders_;
  std::chrono::nanoseconds waited_{0};
  std::chrono::nanoseconds queued_{0};
  std::size_t queued_at_ = 0;
  unsigned attempts_ = 0;
};

}  // namespace corral::gateway

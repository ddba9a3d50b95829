#include "gateway/flight.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "gateway/prepare.hpp"
#include "net/task.hpp"

namespace corral::gateway {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kLoads = 3;  // a model that goes as soon as it has come is not waited for for ever
constexpr std::chrono::milliseconds kTurn{50};  // but one that had another turn meanwhile is
constexpr std::chrono::milliseconds kQuietLoad{900};
constexpr std::chrono::seconds kDownWait{30};
constexpr std::chrono::seconds kLackingCosts{10};  // a 404 counts as an answer that took so long

RetryPolicy retry_policy(const config::RouteSettings& route, config::Priority priority) {
  bool background = priority == config::Priority::low;
  return {route.tries, background ? route.background_backoff_min : route.retry_backoff_min,
          background ? route.background_backoff_max : route.retry_backoff_max};
}

// No attempt waits longer than is left for the whole answer.
bindings::CallTimeouts timeouts_within(bindings::CallTimeouts timeouts,
                                       std::chrono::nanoseconds left) {
  auto most =
      std::max(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(1));
  timeouts.connect = std::min(timeouts.connect, most);
  timeouts.first_token = std::min(timeouts.first_token, most);
  return timeouts;
}

Work work_of(const inference::Request& request) {
  return {request.operation, request.stream, request.body.size()};
}

}  // namespace

Flight::Flight(EndpointSource& source, WaitingRoom& room, std::shared_ptr<const ActiveRoute> route,
               std::string_view matched, inference::Request& request, const Caller& caller)
    : source_(source),
      room_(room),
      route_(std::move(route)),
      matched_(matched),
      request_(request),
      caller_(caller),
      begun_(SteadyClock::now()),
      deadline_(begun_ + route_->limits.total) {}

// --- waiting -------------------------------------------------------------------------------------

net::Task<Result<void>> Flight::load(const ActiveTarget& target) {
  OnWait on_wait = [this, from = SteadyClock::now()](const QueuePlace& where) {
    return while_loading(where, from);
  };
  auto made =
      co_await source_.ensure(ModelName(model_at(target)), request_.operation, std::move(on_wait));
  if (made) co_return Result<void>();
  tried_.push_back(&target);
  Error error = std::move(made).error();
  if (error.code == ErrorCode::cancelled || error.code == ErrorCode::not_found) {
    co_return std::unexpected(std::move(error));
  }
  last_error_ = std::move(error);
  co_return Result<void>();
}

// A load that ends at once, well or not, needs no words: until then the answer's status is open.
net::Task<void> Flight::while_loading(QueuePlace where, Time from) {
  if (queued_at_ == 0) queued_at_ = where.position;
  if (!caller_.on_wait || SteadyClock::now() - from < kQuietLoad) co_return;
  co_await caller_.on_wait(where);
}

// The usual case, which needs no coroutine: there is a place, and nobody waits for it.
bool Flight::place_at_once(Placement& place) {
  if (route_->state->queue().waiting() > 0) return false;
  const ActiveTarget* to_load = nullptr;
  auto now = attempts_ == 0 ? begun_ : SteadyClock::now();
  if (choose(now, place, to_load) == Standing::placed) return true;
  place = Placement();
  return false;
}

net::Task<Result<Placement>> Flight::place() {
  auto from = SteadyClock::now();
  int loads = 0;
  for (;;) {
    follow_route();
    auto now = SteadyClock::now();
    Placement place;
    const ActiveTarget* to_load = nullptr;
    // Nobody overtakes those who wait already.
    bool others_wait = route_->state->queue().waiting() > 0;
    auto standing = choose(now, place, to_load);
    if (standing == Standing::placed && !others_wait) {
      waited_ += now - from;
      co_return std::move(place);
    }
    if (standing == Standing::load) {
      if (++loads > kLoads || now - from > route_->limits.queue) {
        co_return std::unexpected(nothing_available(now));
      }
      CORRAL_CO_CHECK(co_await load(*to_load));
      if (SteadyClock::now() - now >= kTurn) loads = 0;
      continue;
    }
    if (standing == Standing::none_left) {
      // All that are alive were tried: once more from the beginning, if any is alive still.
      if (last_error_ && attempts_ == 0) co_return std::unexpected(last_words(*last_error_, now));
      auto tried = std::exchange(tried_, {});
      if (choose(now, place, to_load) == Standing::none_alive && last_error_) {
        co_return std::unexpected(last_words(*last_error_, now));
      }
      place.return_unused();
      continue;
    }
    place.return_unused();
    auto joined = SteadyClock::now();
    CORRAL_CO_TRY(auto granted, co_await wait_in_queue(standing != Standing::none_alive));
    queued_ += SteadyClock::now() - joined;
    if (!granted) continue;
    waited_ += SteadyClock::now() - from;
    co_return std::move(granted);
  }
}

net::Task<Result<Placement>> Flight::wait_in_queue(bool anything_alive) {
  auto now = SteadyClock::now();
  auto limit = route_->limits.queue;
  if (!anything_alive) limit = std::min<std::chrono::milliseconds>(limit, kDownWait);
  QueueRequest wanted;
  wanted.principal = caller_.principal;
  wanted.priority = caller_.priority;
  wanted.cost = static_cast<std::uint32_t>(64 + request_.body.size() / 4);
  wanted.expected = route_->state->expect(work_of(request_));
  wanted.deadline = std::min(deadline_, now + limit);
  wanted.updates = caller_.on_wait != nullptr;
  wanted.take = [this](Time at) { return take(at); };
  // From when it has joined until its turn has come, `take` may lead it to a new route, on whatever
  // thread gives a place back.
  const auto state = route_->state;
  auto turn = room_.join(state, std::move(wanted));
  if (!turn) co_return std::unexpected(nothing_available(now));
  state->counters.queued.fetch_add(1, std::memory_order_relaxed);
  if (queued_at_ == 0) queued_at_ = turn->position();
  for (;;) {
    auto signal = co_await turn->wait();
    switch (signal.kind) {
      case QueueSignal::Kind::granted: co_return std::move(*signal.place);
      case QueueSignal::Kind::update: co_await caller_.on_wait(signal.where); break;
      case QueueSignal::Kind::left:
        co_return std::unexpected(fail(ErrorCode::cancelled, "the client left the queue"));
      case QueueSignal::Kind::expired:
        now = SteadyClock::now();
        co_return std::unexpected(last_error_ ? last_words(*last_error_, now)
                                              : nothing_available(now));
      case QueueSignal::Kind::displaced:
        co_return std::unexpected(
            fail(ErrorCode::unavailable, "too many requests of a higher priority are waiting")
                .hint("try again in a few seconds")
                .after(std::chrono::seconds(5)));
    }
  }
}

// 503 with the time after which trying again makes sense.
Error Flight::nothing_available(Time now) const {
  std::optional<Time> soonest;
  bool alive = false;
  for (const auto& group : route_->groups) {
    for (const auto& target : group->targets()) {
      alive = alive || (target.state->allow(now) && (target.local() || target.endpoint->up()));
      auto next = target.state->next_change_at(now);
      if (next && (!soonest || *next < *soonest)) soonest = next;
    }
  }
  auto pause = route_->limits.retry_after;
  if (alive) {
    auto wait = route_->state->wait_of_newcomer(now);
    if (wait) pause = std::chrono::ceil<std::chrono::seconds>(*wait);
    pause = std::clamp(pause, std::chrono::seconds(1), std::chrono::seconds(60));
    return fail(ErrorCode::unavailable,
                fmt::format("all places for the model '{}' are taken, and too many requests wait",
                            route_->name()))
        .hint("try again in a few seconds")
        .after(pause);
  }
  if (soonest) pause = std::chrono::ceil<std::chrono::seconds>(*soonest - now);
  pause = std::clamp(pause, std::chrono::seconds(1), std::chrono::seconds(30));
  return fail(ErrorCode::unavailable,
              fmt::format("nothing that serves the model '{}' can be reached now{}", route_->name(),
                          held_back(*route_)))
      .hint("its endpoints are tried again by themselves")
      .after(pause);
}

// --- trying --------------------------------------------------------------------------------------

// A 404 is the client's making only where the client named the model (a wildcard's): a route that
// names it should not lead to an endpoint without it.
Outcome Flight::outcome_here(const Error& error) const {
  return matched_.empty() && lacks_model(error) ? Outcome::lacking : outcome_of(error);
}

void Flight::note_failure(Placement& place, const Error& error, Time begun) {
  Outcome outcome = outcome_here(error);
  Endpoint& endpoint = place.endpoint();
  failed_ = &endpoint;
  auto now = SteadyClock::now();
  const bool ended = endpoint.managed() && outcome == Outcome::connect_error;
  if (endpoint.managed() && !ended && counts_against_endpoint(outcome)) endpoint.failed();
  // Its process ended, or others are well and share its breaker; the scheduler starts it anew, and
  // knows when it is well.
  if (ended || (endpoint.failing() && counts_against_endpoint(outcome))) {
    endpoint.close();
    outcome = Outcome::cancelled;
  }
  if (counts_against_endpoint(outcome)) place.state()->observe_failure(now - begun, now);
  // Whoever lacks the model is well, but its quick 404 must not make it the quickest.
  if (outcome == Outcome::lacking) place.state()->observe_failure(kLackingCosts, now);
  place.report(outcome, error.retry_after);
  place.give_back();
}

net::Task<Result<void>> Flight::attempt(Placement place, inference::Request& request,
                                        Dispatched& result) {
  auto begun = SteadyClock::now();
  place.begin(work_of(request), begun);
  request.backend_model = place.model;
  request.defaults = place.defaults;
  auto timeouts = timeouts_within(route_->limits.timeouts, deadline_ - begun);
  auto answer =
      co_await place.endpoint().binding().open(place.endpoint().address(), request, timeouts);
  Result<void> prepared;
  if (answer) {
    result.answer = std::move(*answer);
    prepared = co_await prepare(result, request,
                                {begun + timeouts.first_token, deadline_, timeouts.between_tokens});
    if (prepared) result.answer->set_patience(route_->limits.timeouts.between_tokens);
  } else {
    prepared = std::unexpected(std::move(answer).error());
  }
  auto now = SteadyClock::now();
  if (!prepared) {
    if (prepared.error().code == ErrorCode::timeout && now >= deadline_) {
      prepared = std::unexpected(too_late(route_->limits.total));
    }
    result.clear();
    note_failure(place, prepared.error(), begun);
    co_return std::unexpected(std::move(prepared).error());
  }
  result.opened = now - begun;
  place.endpoint().answered();
  place.state()->observe(result.opened, now);
  route_->state->observe_first_byte(result.opened, now);
  if (prefix_) route_->state->prefix_served(*prefix_, place.state()->id());
  // A trial's place is wanted by others; other outcomes are known only at the end.
  if (place.trial() || result.whole) place.report(Outcome::success);
  result.place = std::move(place);
  co_return Result<void>();
}

net::Task<Result<void>> Flight::after_failure(Error error) {
  FailedTry failed;
  failed.attempts = attempts_;
  failed.outcome = outcome_here(error);
  failed.now = SteadyClock::now();
  failed.deadline = deadline_;
  failed.random = static_cast<std::uint64_t>(failed.now.time_since_epoch().count());
  keep_siblings();
  bool elsewhere = another_alive(failed.now);
  if (failed.outcome == Outcome::lacking && !elsewhere) {
    co_return std::unexpected(nobody_has_it(std::move(error), failed.now));
  }
  // Nothing was done where nobody listens, or nobody has the model: going elsewhere is no extra
  // load.
  bool nothing_done =
      failed.outcome == Outcome::connect_error || failed.outcome == Outcome::lacking;
  bool free_of_charge =
      nothing_done && elsewhere && attempts_ < route_->settings().tries && failed.now < deadline_;
  std::expected<RetryPolicy::Duration, GiveUp> pause{RetryPolicy::Duration(0)};
  if (!free_of_charge) {
    pause = route_->state->next_try(retry_policy(route_->settings(), caller_.priority), failed);
  }
  if (!pause) {
    // Whoever failed otherwise may have what the last one lacks.
    if (failed.outcome == Outcome::lacking && last_error_) error = *last_error_;
    route_->state->counters.gave_up.fetch_add(retryable(failed.outcome) ? 1 : 0,
                                              std::memory_order_relaxed);
    co_return std::unexpected(retryable(failed.outcome) ? last_words(std::move(error), failed.now)
                                                        : std::move(error));
  }
  route_->state->counters.retries.fetch_add(1, std::memory_order_relaxed);
  if (failed.outcome != Outcome::lacking || !last_error_) last_error_ = std::move(error);
  // Another target knows nothing of the failure: no reason to wait for it.
  if (elsewhere) co_return Result<void>();
  co_return co_await net::sleep_for(*pause);
}

// What the client is told when there are no tries left: 503 with the time to come back where all is
// down, else what the last endpoint said.
Error Flight::last_words(Error error, Time now) {
  tried_.clear();
  if (error.code != ErrorCode::rate_limited && !another_alive(now)) {
    Error down = nothing_available(now);
    down.cause = error.describe();
    return down;
  }
  if (error.code == ErrorCode::unavailable && !error.retry_after)
    error.retry_after = route_->limits.retry_after;
  return error;
}

// A 404 is the last word only if all targets lack the model: one that failed otherwise, or could
// not be asked, may have it.
Error Flight::nobody_has_it(Error error, Time now) {
  if (last_error_ && !lacks_model(*last_error_)) return last_words(*last_error_, now);
  for (const auto& group : route_->groups) {
    for (const auto& target : group->targets()) {
      if (tried(target)) continue;
      return fail(
                 ErrorCode::unavailable,
                 fmt::format("what may serve the model '{}' cannot be reached now", route_->name()))
          .hint("its endpoints are tried again by themselves")
          .after(route_->limits.retry_after)
          .because(error.describe());
    }
  }
  return error;
}

net::Task<Result<void>> Flight::run(Dispatched& result) {
  route_->state->request(begun_);
  for (;;) {
    Placement placed;
    if (!place_at_once(placed)) {
      CORRAL_CO_TRY(placed, co_await place());
    }
    ++attempts_;
    if (caller_.attempts != nullptr) {
      *caller_.attempts = {placed.endpoint().name().str(), attempts_};
    }
    leave_out(*placed.state());
    auto delay = hedge_delay();
    auto tried = delay ? co_await attempt_with_hedge(std::move(placed), *delay, result)
                       : co_await attempt(std::move(placed), request_, result);
    if (tried) {
      result.route = route_;
      result.matched = matched_;
      result.waited = waited_;
      result.queued = queued_;
      result.queued_at = queued_at_;
      result.attempts = attempts_;
      co_return tried;
    }
    CORRAL_CO_CHECK(co_await after_failure(std::move(tried).error()));
  }
}

}  // namespace corral::gateway

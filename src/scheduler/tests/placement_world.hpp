// Engines and clients in virtual time around the pure placement: what the driver and the gateway
// do, without either. Every action is checked against what must never happen.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "scheduler/core/placement.hpp"

namespace corral::scheduler {

class PlacementWorld final : public Units {
 public:
  using Time = Placement::Time;
  using Duration = std::chrono::milliseconds;
  using Kind = PlacementAction::Kind;

  struct Engine {
    Duration load{300};
    Duration stop{20};
    std::size_t slots = 4;
    bool open = false;
    std::size_t in_flight = 0;
    std::uint64_t arrivals = 0;
    Time last_used{};
    std::deque<std::function<void()>> queue;  // who waits for a slot
    std::size_t starts = 0;
    std::size_t stops = 0;
  };

  Use use(UnitId id) const override {
    const Engine& engine = engines.at(id);
    return {engine.in_flight, engine.queue.size(), engine.arrivals, engine.last_used};
  }
  bool close_if_idle(UnitId id, Duration idle) override {
    Engine& engine = engines.at(id);
    if (!engine.open || engine.in_flight > 0 || now - engine.last_used < idle) return false;
    engine.open = false;
    return true;
  }

  UnitId add(const std::string& name, std::uint64_t bytes, const std::string& account = "cpu") {
    return add(UnitSpec{name, {{account, {{account, bytes}}, 0}}, false});
  }
  UnitId add(UnitSpec spec) {
    engines.emplace_back();
    return placement.add(std::move(spec));
  }

  void at(Time when, std::function<void()> what) {
    events_.push({when, order_++, std::move(what)});
  }
  void after(Duration delay, std::function<void()> what) { at(now + delay, std::move(what)); }

  // One caller: `served` is told the error, or nothing once it may go to the engine.
  TicketId want(UnitId id, std::function<void(const std::optional<Error>&)> served) {
    TicketId ticket = ++last_ticket_;
    waiting[ticket] = std::move(served);
    placement.want(id, ticket, now);
    settle();
    return ticket;
  }
  void leave(TicketId ticket) {
    waiting.erase(ticket);
    placement.leave(ticket);
    settle();
  }

  // A request from its arrival to its end, as the gateway does it.
  void request(UnitId id, Duration takes, std::function<void()> done) {
    Engine& engine = engines.at(id);
    if (!engine.open) {
      want(id, [this, id, takes, done](const std::optional<Error>& error) {
        ASSERT_FALSE(error) << error->describe();
        // The way from the owner's loop to the one of the request.
        after(Duration(1), [this, id, takes, done] { request(id, takes, done); });
      });
      return;
    }
    if (engine.in_flight >= engine.slots) {
      engine.queue.push_back([this, id, takes, done] { request(id, takes, done); });
      return;
    }
    enter(id);
    after(takes, [this, id, done] {
      leave_engine(id);
      done();
    });
  }
  void enter(UnitId id) {
    Engine& engine = engines.at(id);
    ASSERT_TRUE(engine.open);
    ++engine.in_flight;
    ++engine.arrivals;
    engine.last_used = now;
  }
  void leave_engine(UnitId id) {
    Engine& engine = engines.at(id);
    --engine.in_flight;
    engine.last_used = now;
    wake_queue(id);
    settle();
  }
  void crash(UnitId id) {
    engines.at(id).open = false;
    placement.down(id);
    after(engines.at(id).load, [this, id] { up(id); });
    settle();
  }

  void settle() {
    for (auto actions = placement.step(now, *this); !actions.empty();
         actions = placement.step(now, *this)) {
      for (auto& action : actions) perform(action);
      check();
    }
    check();
    if (auto next = placement.wake_at(); next && (!armed_ || *next < *armed_)) {
      armed_ = std::max(*next, now);
      at(*armed_, [this] {
        armed_.reset();
        settle();
      });
    }
  }
  void run_until(Time end) {
    while (!events_.empty() && events_.top().when <= end) {
      auto event = events_.top();
      events_.pop();
      now = std::max(now, event.when);
      event.what();
      if (testing::Test::HasFatalFailure()) return;
    }
    now = std::max(now, end);
  }
  void run_for(Duration duration) { run_until(now + duration); }

  void check() const {
    for (const auto& [account, budget] : budgets) {
      EXPECT_LE(placement.held_of(account), budget) << account;
    }
  }

  Placement placement;
  std::vector<Engine> engines;
  std::map<std::string, std::uint64_t> budgets;  // never to be passed
  std::map<TicketId, std::function<void(const std::optional<Error>&)>> waiting;
  Time now{std::chrono::hours(1)};
  std::string log;
  std::function<bool(UnitId)> fails_to_start;

 private:
  struct Event {
    Time when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  void up(UnitId id) {
    if (placement.state(id) != UnitState::loading) return;
    Engine& engine = engines.at(id);
    if (fails_to_start && fails_to_start(id)) {
      placement.failed(id, fail(ErrorCode::unavailable, "broken"));
    } else {
      placement.ready(id, now);
      engine.open = true;
      engine.last_used = now;
    }
    settle();
  }
  void wake_queue(UnitId id) {
    Engine& engine = engines.at(id);
    while (!engine.queue.empty() && (!engine.open || engine.in_flight < engine.slots)) {
      auto next = std::move(engine.queue.front());
      engine.queue.pop_front();
      next();
    }
  }
  void perform(const PlacementAction& action) {
    Engine& engine = engines.at(action.unit);
    const std::string& name = placement.spec(action.unit).name;
    switch (action.kind) {
      case Kind::start:
        log += "start " + name + " at " + placement.device(action.unit) + "; ";
        ++engine.starts;
        after(engine.load, [this, id = action.unit] { up(id); });
        break;
      case Kind::close:
        log += "close " + name + "; ";
        engine.open = false;
        wake_queue(action.unit);
        break;
      case Kind::reopen:
        log += "reopen " + name + "; ";
        engine.open = true;
        break;
      case Kind::stop:
        log += "stop " + name + "; ";
        ++engine.stops;
        EXPECT_EQ(engine.in_flight, 0u) << name << " was busy";
        EXPECT_FALSE(engine.open);
        EXPECT_FALSE(placement.spec(action.unit).pinned) << name << " is pinned";
        wake_queue(action.unit);
        after(engine.stop, [this, id = action.unit] {
          placement.gone(id);
          settle();
        });
        break;
      case Kind::wake: {
        auto node = waiting.extract(action.ticket);
        if (!node.empty()) node.mapped()(action.error);
        break;
      }
    }
  }

  std::priority_queue<Event> events_;
  std::uint64_t order_ = 0;
  TicketId last_ticket_ = 0;
  std::optional<Time> armed_;
};

}  // namespace corral::scheduler

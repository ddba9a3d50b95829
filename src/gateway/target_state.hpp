// What is known about one model at one endpoint: its circuit breaker, how quick it is,
// and how long which work takes there. Shared by
// all routes that lead there; outlives changes of the routes.
//
// Thread rule: thread-safe. While all is well, `allow` is one load of an atomic.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "gateway/core/breaker.hpp"
#include "gateway/core/latency.hpp"
#include "gateway/core/wait_forecast.hpp"

namespace corral::gateway {

class TargetState {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Called with no lock held, on the thread that caused it.
  using Listener = std::function<void(const TargetState&, const BreakerTransition&)>;

  TargetState(std::string endpoint, std::string model, BreakerPolicy policy, Listener listener);

  const std::string& endpoint() const { return endpoint_; }
  const std::string& model() const { return model_; }
  std::uint64_t id() const { return id_; }  // the same for the same names always

  bool allow(Time now) const;
  Breaker::Permit try_pass(Time now);  // empty: not now
  void report(Breaker::Permit permit, Outcome outcome, Time now,
              std::optional<std::chrono::seconds> retry_after = std::nullopt);
  void release(Breaker::Permit permit);
  void observe(std::chrono::nanoseconds first_byte, Time now);
  void observe_failure(std::chrono::nanoseconds took, Time now);

  // A request is sent there, and has its answer; `answered`: all of it, so that its time teaches.
  RunningWork::Number begin_work(const Work& work, Time now);
  void end_work(RunningWork::Number number, Time now, bool answered);
  std::optional<WorkEstimate::Duration> expect(const Work& work) const;
  // Seconds until each request that is there now has its answer; false: of some it is not known.
  bool append_left(Time now, std::vector<double>& left) const;
  std::vector<WorkEstimate::View> learned() const;
  std::optional<WorkEstimate> estimate() const;  // none before the first request
  // What was learned before, by this process or the one before; for a state that is new. `noted`:
  // it is kept somewhere.
  void recall(const WorkEstimate& estimate, bool noted);
  // What is to be kept over a restart; none if it is what it was when this was asked last.
  std::optional<WorkEstimate> take_learned();

  void probe_succeeded(Time now);
  void force_open();
  void force_close();

  double latency_ns(Time now) const;  // peak EWMA; 0 while nothing is known
  Breaker::View view(Time now) const;
  std::optional<Time> next_change_at(Time now) const;
  std::uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }
  std::uint64_t successes() const { return successes_.load(std::memory_order_relaxed); }

 private:
  void changed(const Breaker::Transition& transition);
  void note_watch(Time now);  // with the lock held

  // Made with the first request: most of ten thousand models are never asked.
  struct Learned {
    WorkEstimate estimate;
    RunningWork running;
    bool noted = true;  // nothing was learned since take_learned()
  };

  std::string endpoint_;
  std::string model_;
  std::uint64_t id_;
  Listener listener_;
  std::atomic<bool> watched_{false};  // not simply closed: the breaker must be asked
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<std::uint64_t> successes_{0};
  mutable std::mutex mutex_;
  Breaker breaker_;
  PeakEwma latency_;
  std::unique_ptr<Learned> work_;
};

}  // namespace corral::gateway

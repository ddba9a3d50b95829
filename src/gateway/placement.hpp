// A place taken at a target: one request's right to go there. Given back when it ends, with what
// became of it.
//
// Thread rule: plain movable value; its parts are thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gateway/endpoint.hpp"
#include "gateway/target_state.hpp"
#include "inference/request.hpp"

namespace corral::gateway {

class Placement {
 public:
  Placement() = default;
  Placement(std::shared_ptr<TargetState> state, Breaker::Permit permit, Lease lease)
      : state_(std::move(state)), permit_(std::move(permit)), lease_(std::move(lease)) {}
  Placement(Placement&& other) noexcept { *this = std::move(other); }
  Placement& operator=(Placement&& other) noexcept;
  ~Placement() { release(); }

  explicit operator bool() const { return static_cast<bool>(lease_); }
  Endpoint& endpoint() const { return *lease_.endpoint(); }
  // What the request is to carry there: the model's name, and parameters that it does not set.
  std::string model;
  std::shared_ptr<const inference::DefaultParameters> defaults;

  const std::shared_ptr<TargetState>& state() const { return state_; }
  bool trial() const { return permit_.trial(); }

  // The request is sent now. Given back after a report of success, its time teaches how long such
  // work takes.
  void begin(const Work& work, std::chrono::steady_clock::time_point now);
  // Tells the breaker; once, later calls do nothing. The place stays taken.
  void report(Outcome outcome, std::optional<std::chrono::seconds> retry_after = std::nullopt);
  void give_back();      // the place; without a report it proves nothing
  void return_unused();  // nothing was sent there

 private:
  void release();

  std::shared_ptr<TargetState> state_;
  Breaker::Permit permit_;
  Lease lease_;
  RunningWork::Number work_ = 0;  // at `state_`; 0: nothing was sent
  bool answered_ = false;
};

}  // namespace corral::gateway

// How many instances deployments have, and why: what the admin surface shows.
//
// Thread rule: plain values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace corral::scheduler {

// A change of the number of instances, or one that there was no memory for.
struct ScalingRecord {
  std::chrono::system_clock::time_point at;
  std::string model;
  std::string purpose;
  std::string kind;    // up | down | held_back
  std::string signal;  // cpu | wait | first_token | tokens | cpu_low | idle
  unsigned from = 0;
  unsigned to = 0;
  std::string reason;  // for people
};

struct ScaledDeployment {
  std::string model;
  std::string purpose;
  unsigned ready = 0;
  unsigned starting = 0;
  unsigned wanted = 0;
  unsigned least = 1;
  unsigned most = 1;
  std::size_t in_flight = 0;
  std::size_t waiting = 0;
  // What was measured last; none: nothing yet.
  std::optional<double> wait_ms;
  std::optional<double> first_token_ms;
  std::optional<double> tokens_per_second;
};

struct ScalingStatus {
  bool enabled = false;
  double cpu = 0;                             // part of the processors' time in use
  std::vector<ScaledDeployment> deployments;  // those that may have several instances
  std::vector<ScalingRecord> decisions;       // the last 200, oldest first
};

}  // namespace corral::scheduler

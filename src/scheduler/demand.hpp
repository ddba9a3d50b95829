// What requests for a model met with: summed where they end, taken now and then by the scheduler,
// which adds and removes instances by it.
//
// Thread rule: plain value.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace corral::scheduler {

struct ModelDemand {
  std::string model;
  bool embedding = false;
  std::uint64_t requests = 0;          // that ended well
  std::chrono::nanoseconds queued{0};  // of all of them together: waiting for a place
  std::uint64_t first_tokens = 0;      // of how many the next is known
  std::chrono::nanoseconds to_first{
      0};                    // to the first token, without waiting for the model to load
  std::uint64_t tokens = 0;  // generated after the first,
  std::chrono::nanoseconds generating{0};  // in this time

  void add(const ModelDemand& more) {
    requests += more.requests;
    queued += more.queued;
    first_tokens += more.first_tokens;
    to_first += more.to_first;
    tokens += more.tokens;
    generating += more.generating;
  }
};

}  // namespace corral::scheduler

// Where a request stands that waits: for a place at a target, or for its model to be loaded.
//
// Thread rule: plain values of one request.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "net/task.hpp"

namespace corral::gateway {

struct QueuePlace {
  enum class Stage {
    queue,    // all places are taken
    room,     // its model has no memory yet; `why` says who has it
    loading,  // its model is being loaded
  };
  std::size_t position = 0;                           // 1: next
  std::optional<std::chrono::milliseconds> estimate;  // of the wait that is left
  Stage stage = Stage::queue;
  std::string why;
  std::chrono::milliseconds passed{0};  // since the load began
};

// Told now and then to whoever waits. What it is given is gone when its task is done.
using OnWait = std::function<net::Task<void>(const QueuePlace&)>;

// For people, in one line without control characters, whatever a model is called: "queued,
// position 2, about 3.0 s", "loading, position 1, about 8.0 s left", "waiting for room, position 3:
// it needs ...".
std::string describe(const QueuePlace& place);

}  // namespace corral::gateway

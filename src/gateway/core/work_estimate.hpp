// How long a model at an endpoint takes for a request, learned from those that it answered: by kind
// of work (operation, streamed or not) and by the size of the input.
//
// For each kind a straight line is kept, duration = fixed part + part for each KiB of input, as a
// regression in which older requests count for less (about the last 60). Of it
// - neither part is ever below nothing, so small inputs are not extrapolated from large ones to
//   nonsense;
// - inputs that are nearly alike give no slope, since what they differ by is noise;
// - what lies far from the line counts only as far as is usual, so one outlier does not ruin it; a
//   real change is followed within some twenty requests.
// A kind that was never seen is taken to be like the same operation in the other form, or like its
// sibling (chat and completion); nothing is said of embeddings from texts, or the other way round.
//
// Thread rule: plain value of fixed size; one owner, or a lock around it. Learning and predicting
// take some ten nanoseconds each and allocate nothing. Example:
//   WorkEstimate estimate;
//   estimate.learn({Operation::chat, true, body.size()}, took);
//   auto next = estimate.predict({Operation::chat, true, 4096});
//   for (const auto& kind : estimate.kept()) another.restore(kind);
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "inference/request.hpp"

namespace corral::gateway {

// What is asked, as far as it tells how long it takes.
struct Work {
  inference::Operation operation = inference::Operation::chat;
  bool stream = false;
  std::uint64_t input = 0;  // bytes
};

class WorkEstimate {
 public:
  using Duration = std::chrono::nanoseconds;

  static constexpr std::size_t kKinds = 6;  // three operations, each streamed or not

  // What is known of one kind.
  struct View {
    inference::Operation operation = inference::Operation::chat;
    bool stream = false;
    std::uint64_t requests = 0;
    Duration fixed{0};
    Duration per_kib{0};
    Duration usual{0};  // of the inputs that come
  };

  // One kind with all that its line consists of, as it is kept over a restart.
  struct Kept {
    inference::Operation operation = inference::Operation::chat;
    bool stream = false;
    std::uint64_t requests = 0;
    double mean_kib = 0, mean_seconds = 0;
    double spread = 0;     // variance of the KiB
    double together = 0;   // covariance of KiB and seconds
    double deviation = 0;  // seconds

    bool operator==(const Kept&) const = default;
  };

  void learn(const Work& work, Duration took);
  // Of the kinds that were seen.
  std::vector<Kept> kept() const;
  // Goes on from there. False, and nothing changes: no requests can have taught that.
  bool restore(const Kept& kind);
  // None as long as nothing like it was seen.
  std::optional<Duration> predict(const Work& work) const;
  // Of the kinds that were seen.
  std::optional<View> view(std::size_t kind) const;

 private:
  // x in KiB, y in seconds.
  struct Line {
    double mean_x = 0, mean_y = 0;
    double spread_x = 0;   // variance of x
    double together = 0;   // covariance of x and y
    double deviation = 0;  // how far from the line requests are, usually
    std::uint64_t count = 0;

    void learn(double x, double y);
    double slope() const;
    double at(double x) const;
  };
  const Line* line_for(const Work& work) const;

  std::array<Line, kKinds> lines_{};
};

}  // namespace corral::gateway

// Which of a group's targets gets the request. Pure: the loads come in through a view, random
// numbers come in as one word a decision, and the answer is an index with the reason for it.
//
// Policies: weighted (turns in proportion to the weights, spread smoothly), round_robin,
// least_busy (smallest share of its capacity in use), peak_ewma (the cheaper of two random ones:
// expected latency times the work in flight), sticky (rendezvous hashing of the user's or
// session's key), prefix (where the prompt's beginning was served last, within a bound on load;
// see prefix_affinity.hpp). What has no key to go by is decided as by peak_ewma.
//
// No policy looks at all targets in the ordinary case: least_busy looks at a window of 128 (all,
// up to 128 targets), peak_ewma at two. A target of weight 0 is drained: taken only if no other is
// usable. A target in slow start (share < 1) gets that part of what it would get otherwise.
//
// Thread rule: none of its own; `choose` changes the turns, so one caller at a time. Lifecycle: one
// Balancer for each group of a route, made anew with the route.
//
//   Balancer balancer(Policy::peak_ewma, {{.id = hash_of("eu-1/qwen"), .weight = 2}, ...});
//   auto choice = balancer.choose(view, {}, random());
//   if (choice) send_to(targets[choice->index]);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/core/mixing.hpp"
#include "gateway/core/rendezvous.hpp"
#include "gateway/core/weighted_turns.hpp"

namespace corral::gateway {

enum class Policy : std::uint8_t { weighted, round_robin, least_busy, peak_ewma, sticky, prefix };

std::string_view to_string(Policy policy);
std::optional<Policy> parse_policy(std::string_view text);  // the exact names above

// What does not change while the group stands.
struct Member {
  std::uint64_t id = 0;      // the same for the same target always: sticky keys depend on it
  std::uint32_t weight = 1;  // 0 = drained
};

// What changes from request to request.
struct Load {
  std::uint32_t in_flight = 0;
  std::uint32_t capacity = 1;  // how many it takes at once; 0 is read as 1
  double cost_ns = 0;          // peak EWMA of its latency; 0 = not known yet
  double share = 1;            // slow start: the part of its capacity it may have, 0..1
};

// How the balancer sees the targets now. Both are called for few of them, and must be cheap: a
// driver keeps the figures in atomics.
class LoadView {
 public:
  virtual bool usable(std::size_t index) const = 0;  // may this request go there now?
  virtual Load load(std::size_t index) const = 0;

 protected:
  ~LoadView() = default;
};

// A view of plain values.
struct Candidate {
  bool usable = true;
  Load load;
};

class CandidateView final : public LoadView {
 public:
  explicit CandidateView(std::span<const Candidate> candidates) : candidates_(candidates) {}
  bool usable(std::size_t index) const override { return candidates_[index].usable; }
  Load load(std::size_t index) const override { return candidates_[index].load; }

 private:
  std::span<const Candidate> candidates_;
};

// What of the request matters.
struct BalanceKeys {
  std::optional<std::uint64_t> sticky;     // hash of the user or session
  std::span<const std::uint64_t> holders;  // ids of members that hold the prompt's prefix
};

enum class Reason : std::uint8_t {
  turn,            // it was its turn (weighted, round_robin)
  least_busy,      // the smallest part of its capacity in use
  cheaper,         // the cheaper of two sampled
  only_one,        // no other was found usable
  home,            // first in the order of its sticky key
  away,            // the home of its key is not usable: the next in the key's order
  no_key,          // sticky without a key: the cheaper of two
  holder,          // holds the longest known prefix of the prompt
  holders_busy,    // those which hold the prefix are over their bound or not usable
  prefix_unknown,  // nobody holds the prefix: the cheaper of two
  drained,         // weight 0, and nothing else is usable
};

std::string_view to_string(Reason reason);    // "holders_busy"
std::string_view explanation(Reason reason);  // for people

// `figure` is what was compared, smaller being better: the busy share (least_busy), expected
// nanoseconds per weight (peak_ewma and whatever falls back to it), the score of the key (sticky),
// requests in flight (prefix; `bound` is what it had to stay below). 0 for turns.
struct Choice {
  std::size_t index = 0;
  Reason reason = Reason::turn;
  double figure = 0;
  std::optional<std::size_t> other;  // the runner-up; the home of the key when it is `away`
  double other_figure = 0;
  double bound = 0;
};

class Balancer {
 public:
  // `bounded_load`: no holder of a prefix gets busier for its sake than this times the mean
  // (consistent hashing with bounded loads, epsilon 0.25).
  Balancer(Policy policy, std::vector<Member> members, double bounded_load = 1.25);

  // Never one that is not usable; none when none is.
  std::optional<Choice> choose(const LoadView& view, const BalanceKeys& keys, std::uint64_t random);

  Policy policy() const { return policy_; }
  std::span<const Member> members() const { return members_; }
  std::optional<std::size_t> index_of(std::uint64_t id) const;

 private:
  struct Pair {
    std::array<std::size_t, 2> index{};
    std::size_t count = 0;
    bool holds(std::size_t i) const;
  };

  bool eligible(const LoadView& view, std::size_t index) const;
  bool admits(const LoadView& view, std::size_t index, RandomStream& random) const;
  std::optional<Choice> round_robin(const LoadView& view, RandomStream& random);
  std::optional<Choice> weighted(const LoadView& view);
  std::optional<Choice> least_busy(const LoadView& view, RandomStream& random) const;
  std::optional<Choice> cheaper_of_two(const LoadView& view, RandomStream& random,
                                       std::span<const std::size_t> except) const;
  Pair sample(const LoadView& view, RandomStream& random,
              std::span<const std::size_t> except) const;
  std::optional<Choice> sticky(const LoadView& view, std::uint64_t key, RandomStream& random);
  std::optional<Choice> prefix(const LoadView& view, std::span<const std::uint64_t> holders,
                               RandomStream& random) const;
  double average_use(const LoadView& view, RandomStream& random) const;
  std::optional<Choice> drained(const LoadView& view, RandomStream& random) const;

  Policy policy_;
  std::vector<Member> members_;
  double bounded_load_;
  std::vector<std::pair<std::uint64_t, std::size_t>> by_id_;  // sorted
  bool any_drained_ = false;
  std::size_t cursor_ = 0;
  WeightedTurns turns_;
  Rendezvous rendezvous_;
};

}  // namespace corral::gateway

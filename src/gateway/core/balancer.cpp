#include "gateway/core/balancer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace corral::gateway {
namespace {

constexpr std::array<std::string_view, 6> kPolicyNames = {"weighted",  "round_robin", "least_busy",
                                                          "peak_ewma", "sticky",      "prefix"};
constexpr std::size_t kWindow = 128;        // looked at by least_busy
constexpr std::size_t kLoadSample = 128;    // looked at for the average load
constexpr std::size_t kSamples = 8;         // drawn by peak_ewma before it walks
constexpr std::size_t kWalkForSecond = 64;  // and how far it walks for somebody to compare with
constexpr double kRounding = 1e-9;
// A target never heard of is tried at once, but not by a second request before the first answered.
constexpr double kUnknownCost = 1e15;

double share_of(const Load& load) { return std::clamp(load.share, kLeastShare, 1.0); }
double room_of(const Load& load) {
  return static_cast<double>(std::max(load.capacity, 1u)) * share_of(load);
}

double busy(const Load& load, std::uint32_t weight) {
  return (load.in_flight + 1.0) / (room_of(load) * std::max(weight, 1u));
}

double expected_cost(const Load& load, std::uint32_t weight) {
  auto cost =
      load.cost_ns > 0 ? load.cost_ns * (load.in_flight + 1.0) : kUnknownCost * load.in_flight;
  return cost / (share_of(load) * std::max(weight, 1u));
}

bool listed(std::span<const std::size_t> indices, std::size_t index) {
  return std::ranges::find(indices, index) != indices.end();
}

}  // namespace

std::string_view to_string(Policy policy) { return kPolicyNames[static_cast<std::size_t>(policy)]; }

std::optional<Policy> parse_policy(std::string_view text) {
  auto found = std::ranges::find(kPolicyNames, text);
  if (found == kPolicyNames.end()) return std::nullopt;
  return static_cast<Policy>(found - kPolicyNames.begin());
}

std::string_view to_string(Reason reason) {
  constexpr std::array<std::string_view, 11> kNames = {
      "turn",   "least_busy", "cheaper",      "only_one",       "home",   "away",
      "no_key", "holder",     "holders_busy", "prefix_unknown", "drained"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::string_view explanation(Reason reason) {
  constexpr std::array<std::string_view, 11> kTexts = {
      "it was its turn",
      "the smallest part of its capacity is in use",
      "the cheaper of two picked at random: expected latency times requests in flight",
      "no other was found usable",
      "the home of this user or session",
      "the home of this user or session is not usable now; this is the next in its order",
      "no user or session to stick to: the cheaper of two picked at random",
      "it served the beginning of this prompt last",
      "those that served the beginning of this prompt carry more than their part or are not usable",
      "the beginning of this prompt is new: the cheaper of two picked at random",
      "drained (weight 0), but no other is usable"};
  return kTexts[static_cast<std::size_t>(reason)];
}

Balancer::Balancer(Policy policy, std::vector<Member> members, double bounded_load)
    : policy_(policy), members_(std::move(members)), bounded_load_(bounded_load) {
  std::vector<std::uint32_t> weights;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const auto& member = members_[i];
    by_id_.emplace_back(member.id, i);
    any_drained_ = any_drained_ || member.weight == 0;
    weights.push_back(member.weight);
    if (policy == Policy::sticky && member.weight > 0) rendezvous_.add(i, member.id, member.weight);
  }
  std::ranges::sort(by_id_);
  if (policy == Policy::weighted) turns_ = WeightedTurns(weights);
}

std::optional<std::size_t> Balancer::index_of(std::uint64_t id) const {
  auto found =
      std::ranges::lower_bound(by_id_, id, {}, [](const auto& pair) { return pair.first; });
  if (found == by_id_.end() || found->first != id) return std::nullopt;
  return found->second;
}

std::optional<Choice> Balancer::choose(const LoadView& view, const BalanceKeys& keys,
                                       std::uint64_t random) {
  if (members_.empty()) return std::nullopt;
  RandomStream stream(random);
  auto choice = [&]() -> std::optional<Choice> {
    switch (policy_) {
      case Policy::weighted: return weighted(view);
      case Policy::round_robin: return round_robin(view, stream);
      case Policy::least_busy: return least_busy(view, stream);
      case Policy::peak_ewma: return cheaper_of_two(view, stream, {});
      case Policy::sticky:
        if (keys.sticky) return sticky(view, *keys.sticky, stream);
        break;
      case Policy::prefix:
        if (!keys.holders.empty()) return prefix(view, keys.holders, stream);
        break;
    }
    auto cheaper = cheaper_of_two(view, stream, {});
    if (cheaper) {
      cheaper->reason = policy_ == Policy::sticky ? Reason::no_key : Reason::prefix_unknown;
    }
    return cheaper;
  }();
  return choice || !any_drained_ ? choice : drained(view, stream);
}

bool Balancer::eligible(const LoadView& view, std::size_t index) const {
  return members_[index].weight > 0 && view.usable(index);
}

// Slow start: one that may have a part of its capacity gets that part of its turns.
bool Balancer::admits(const LoadView& view, std::size_t index, RandomStream& random) const {
  auto load = view.load(index);
  return load.share >= 1 || random.unit() <= share_of(load);
}

std::optional<Choice> Balancer::weighted(const LoadView& view) {
  auto index = turns_.next([&](std::size_t i) { return view.usable(i); },
                           [&](std::size_t i) { return view.load(i).share; });
  if (!index) return std::nullopt;
  return Choice{.index = *index, .reason = Reason::turn};
}

std::optional<Choice> Balancer::round_robin(const LoadView& view, RandomStream& random) {
  std::optional<std::size_t> slow;  // usable, but its slow start says not this time
  for (std::size_t step = 0; step < members_.size(); ++step) {
    auto index = cursor_ + step;
    if (index >= members_.size()) index -= members_.size();
    if (!eligible(view, index)) continue;
    if (!admits(view, index, random)) {
      if (!slow) slow = index;
      continue;
    }
    cursor_ = (index + 1) % members_.size();
    return Choice{.index = index, .reason = Reason::turn};
  }
  if (!slow) return std::nullopt;
  cursor_ = (*slow + 1) % members_.size();
  return Choice{.index = *slow, .reason = Reason::turn};
}

std::optional<Choice> Balancer::least_busy(const LoadView& view, RandomStream& random) const {
  constexpr auto kNone = std::numeric_limits<double>::infinity();
  Choice best{.reason = Reason::least_busy, .figure = kNone, .other_figure = kNone};
  const auto count = members_.size();
  auto index = random.below(count);  // so that equals take turns
  for (std::size_t step = 0; step < count; ++step, index = index + 1 == count ? 0 : index + 1) {
    if (step >= kWindow && best.figure < kNone) break;
    if (!eligible(view, index)) continue;
    auto figure = busy(view.load(index), members_[index].weight);
    if (figure < best.figure) {
      if (best.figure < kNone) best.other = best.index;
      best.other_figure = best.figure;
      best.index = index;
      best.figure = figure;
    } else if (figure < best.other_figure) {
      best.other = index;
      best.other_figure = figure;
    }
  }
  if (best.figure == kNone) return std::nullopt;
  if (!best.other) {
    best.reason = Reason::only_one;
    best.other_figure = 0;
  }
  return best;
}

bool Balancer::Pair::holds(std::size_t i) const {
  return (count > 0 && index[0] == i) || (count > 1 && index[1] == i);
}

Balancer::Pair Balancer::sample(const LoadView& view, RandomStream& random,
                                std::span<const std::size_t> except) const {
  Pair pair;
  const auto count = members_.size();
  auto consider = [&](std::size_t index) {
    if (!pair.holds(index) && !listed(except, index) && eligible(view, index)) {
      pair.index[pair.count++] = index;
    }
  };
  for (std::size_t draw = 0; count > 2 && draw < kSamples && pair.count < 2; ++draw) {
    consider(random.below(count));
  }
  auto index = random.below(count);
  for (std::size_t step = 0; step < count && pair.count < 2; ++step) {
    if (step >= kWalkForSecond && pair.count > 0) break;
    consider(index);
    index = index + 1 == count ? 0 : index + 1;
  }
  return pair;
}

std::optional<Choice> Balancer::cheaper_of_two(const LoadView& view, RandomStream& random,
                                               std::span<const std::size_t> except) const {
  auto pair = sample(view, random, except);
  if (pair.count == 0) return std::nullopt;
  auto cost = [&](std::size_t index) {
    return expected_cost(view.load(index), members_[index].weight);
  };
  Choice choice{.index = pair.index[0], .reason = Reason::only_one, .figure = cost(pair.index[0])};
  if (pair.count == 1) return choice;
  choice.reason = Reason::cheaper;
  choice.other = pair.index[1];
  choice.other_figure = cost(pair.index[1]);
  if (choice.other_figure < choice.figure) {
    std::swap(choice.index, *choice.other);
    std::swap(choice.figure, choice.other_figure);
  }
  return choice;
}

std::optional<Choice> Balancer::sticky(const LoadView& view, std::uint64_t key,
                                       RandomStream& random) {
  Rendezvous::Ranked slow;  // the first usable one that its slow start holds back
  std::size_t held_back = 0;
  auto result = rendezvous_.rank(key, [&](std::size_t index) {
    if (!view.usable(index)) return false;
    if (admits(view, index, random)) return true;
    slow.index = index;
    ++held_back;
    return false;
  });
  if (!result.first.found()) {
    if (held_back == 0) return std::nullopt;
    return Choice{.index = slow.index, .reason = Reason::only_one};
  }
  Choice choice{.index = result.first.index, .reason = Reason::home, .figure = result.first.score};
  if (result.first.index != result.home.index) {
    choice.reason = Reason::away;
    choice.other = result.home.index;
    choice.other_figure = result.home.score;
  }
  return choice;
}

// Requests in flight for each place, of the usable ones (a sample of them when there are many).
double Balancer::average_use(const LoadView& view, RandomStream& random) const {
  double in_flight = 1;  // the request that is being placed
  double room = 0;
  const auto count = members_.size();
  auto index = count <= kLoadSample ? 0 : random.below(count);
  for (std::size_t step = 0; step < std::min(count, kLoadSample); ++step) {
    if (eligible(view, index)) {
      auto load = view.load(index);
      in_flight += load.in_flight;
      room += room_of(load);
    }
    index = index + 1 == count ? 0 : index + 1;
  }
  return room > 0 ? in_flight / room : in_flight;
}

std::optional<Choice> Balancer::prefix(const LoadView& view, std::span<const std::uint64_t> holders,
                                       RandomStream& random) const {
  constexpr std::size_t kMostHolders = 8;
  std::array<std::size_t, kMostHolders> known{};
  std::size_t count = 0;
  for (auto id : holders.first(std::min(holders.size(), kMostHolders))) {
    auto index = index_of(id);
    if (index && eligible(view, *index)) known[count++] = *index;
  }
  auto usable_holders = std::span(known).first(count);
  const auto average = count > 0 ? average_use(view, random) : 0;
  std::optional<Choice> best;
  double best_cost = 0;
  for (auto index : usable_holders) {
    auto load = view.load(index);
    auto bound = std::max(1.0, std::ceil(bounded_load_ * average * room_of(load) - kRounding));
    if (load.in_flight + 1.0 > bound) continue;
    auto cost = expected_cost(load, members_[index].weight);
    if (best && cost >= best_cost) continue;
    best_cost = cost;
    best = Choice{.index = index,
                  .reason = Reason::holder,
                  .figure = static_cast<double>(load.in_flight),
                  .bound = bound};
  }
  if (best) return best;
  auto other = cheaper_of_two(view, random, usable_holders);
  if (!other) other = cheaper_of_two(view, random, {});  // better a loaded holder than nobody
  if (other) other->reason = Reason::holders_busy;
  return other;
}

// Only what is drained is left: the least busy of it.
std::optional<Choice> Balancer::drained(const LoadView& view, RandomStream& random) const {
  std::optional<Choice> best;
  const auto count = members_.size();
  auto index = random.below(count);
  for (std::size_t step = 0; step < count; ++step, index = index + 1 == count ? 0 : index + 1) {
    if (members_[index].weight != 0 || !view.usable(index)) continue;
    auto figure = busy(view.load(index), 1);
    if (best && figure >= best->figure) continue;
    best = Choice{.index = index, .reason = Reason::drained, .figure = figure};
  }
  return best;
}

}  // namespace corral::gateway

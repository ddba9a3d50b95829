#include "gateway/core/answer_cache.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {
namespace {

std::size_t cost_of(const KeptAnswer& answer) {
  return AnswerCache::kOverhead + answer.content_type.size() + answer.body.size();
}

}  // namespace

std::size_t AnswerKeyHash::operator()(const AnswerKey& key) const noexcept {
  std::uint64_t words[2];
  std::memcpy(words, key.data(), sizeof words);
  return fold_multiply(words[0] ^ seed_, words[1] ^ mix64(seed_));
}

AnswerCache::AnswerCache(Options options)
    : limit_(options.limit), entries_(0, AnswerKeyHash(options.seed)) {}

std::size_t AnswerCache::largest() const {
  std::size_t most = limit_ / kLargestPart;
  return most - std::min(most, kOverhead);
}

std::optional<AnswerCache::Found> AnswerCache::find(const AnswerKey& key, Time now) {
  auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  auto entry = found->second;
  if (now >= entry->until) {
    take_out(entry);
    return std::nullopt;
  }
  by_use_.splice(by_use_.begin(), by_use_, entry);
  return Found{entry->answer, now - entry->made};
}

AnswerCache::Put AnswerCache::put(const AnswerKey& key, KeptAnswerPtr answer, Duration ttl,
                                  Time now, Duration age) {
  Put result;
  auto found = entries_.find(key);
  if (found != entries_.end()) result.dropped.push_back(take_out(found->second));
  std::size_t cost = cost_of(*answer);
  if (cost > limit_ / kLargestPart || ttl <= age) return result;
  // What nobody can get any more goes before what somebody could.
  for (auto& expired : expire(now, 2)) result.dropped.push_back(std::move(expired));
  evict_to(limit_ - cost, result);
  by_use_.push_front(Entry{key, std::move(answer), cost, now - age, now - age + ttl});
  entries_.emplace(key, by_use_.begin());
  bytes_ += cost;
  result.kept = true;
  return result;
}

std::vector<KeptAnswerPtr> AnswerCache::expire(Time now, std::size_t most) {
  std::vector<KeptAnswerPtr> dropped;
  while (dropped.size() < most && !by_use_.empty() && now >= by_use_.back().until) {
    dropped.push_back(take_out(std::prev(by_use_.end())));
  }
  return dropped;
}

AnswerCache::Put AnswerCache::set_limit(std::size_t limit) {
  Put result;
  limit_ = limit;
  evict_to(limit, result);
  return result;
}

KeptAnswerPtr AnswerCache::take_out(List::iterator entry) {
  KeptAnswerPtr answer = std::move(entry->answer);
  bytes_ -= entry->cost;
  entries_.erase(entry->key);
  by_use_.erase(entry);
  return answer;
}

void AnswerCache::evict_to(std::size_t bytes, Put& put) {
  while (bytes_ > bytes) {
    put.dropped.push_back(take_out(std::prev(by_use_.end())));
    ++put.evicted;
  }
}

}  // namespace corral::gateway

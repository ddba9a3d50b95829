#include "gateway/core/embedding_batch.hpp"

#include <algorithm>

namespace corral::gateway {

bool EmbeddingBatch::fits(const Batch& batch, std::size_t inputs, std::size_t bytes) const {
  return batch.inputs + inputs <= limits_.inputs && batch.bytes + bytes <= limits_.bytes;
}

EmbeddingBatch::Place EmbeddingBatch::offer(const AnswerKey& key, std::size_t inputs,
                                            std::size_t bytes, Duration window, Time now) {
  Place place;
  auto& group = groups_[key];
  bool too_large = inputs >= limits_.inputs || bytes >= limits_.bytes;
  if (group.under_way == 0 || window <= Duration::zero() || too_large) {
    ++group.under_way;
    return place;
  }
  auto open = batches_.find(group.open);
  if (open != batches_.end() && !fits(open->second, inputs, bytes)) {
    place.take_now = group.open;
    open = batches_.end();
  }
  place.verdict = open == batches_.end() ? Verdict::opened : Verdict::joined;
  if (place.verdict == Verdict::opened) {
    group.open = ++last_id_;
    open = batches_.emplace(group.open, Batch{key, {}, 0, 0, now + window}).first;
  }
  auto& batch = open->second;
  place.batch = group.open;
  place.member = ++last_id_;
  place.due = batch.due;
  batch.members.push_back({place.member, inputs, bytes});
  batch.inputs += inputs;
  batch.bytes += bytes;
  if (batch.inputs >= limits_.inputs || batch.bytes >= limits_.bytes) place.take_now = place.batch;
  return place;
}

std::vector<EmbeddingBatch::MemberId> EmbeddingBatch::take(BatchId batch) {
  auto taken = batches_.extract(batch);
  if (taken.empty()) return {};
  auto& group = groups_[taken.mapped().key];
  ++group.under_way;
  if (group.open == batch) group.open = 0;
  std::vector<MemberId> members;
  members.reserve(taken.mapped().members.size());
  for (const auto& member : taken.mapped().members) members.push_back(member.id);
  return members;
}

void EmbeddingBatch::leave(BatchId batch, MemberId member) {
  auto found = batches_.find(batch);
  if (found == batches_.end()) return;
  auto& [key, members, inputs, bytes, due] = found->second;
  auto leaving = std::ranges::find(members, member, &Member::id);
  if (leaving == members.end()) return;
  inputs -= leaving->inputs;
  bytes -= leaving->bytes;
  members.erase(leaving);
  if (!members.empty()) return;
  auto group = groups_.find(key);
  if (group != groups_.end()) {
    if (group->second.open == batch) group->second.open = 0;
    if (group->second.under_way == 0) groups_.erase(group);
  }
  batches_.erase(found);
}

std::optional<EmbeddingBatch::BatchId> EmbeddingBatch::ended(const AnswerKey& key) {
  auto found = groups_.find(key);
  if (found == groups_.end()) return std::nullopt;
  auto& group = found->second;
  if (group.under_way > 0) --group.under_way;
  if (group.under_way > 0) return std::nullopt;
  if (group.open != 0) return group.open;
  groups_.erase(found);
  return std::nullopt;
}

std::size_t EmbeddingBatch::waiting() const {
  std::size_t sum = 0;
  for (const auto& [id, batch] : batches_) sum += batch.members.size();
  return sum;
}

}  // namespace corral::gateway

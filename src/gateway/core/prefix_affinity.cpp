#include "gateway/core/prefix_affinity.hpp"

#include <algorithm>
#include <cstring>

#include "gateway/core/mixing.hpp"

namespace corral::gateway {
namespace {

// The steps between hashes grow, so that long prompts need few entries: the longest known prefix
// is found to within a sixteenth of its length or so.
constexpr std::size_t kSmallUntil = 4096, kMiddleUntil = 32'768;
constexpr std::size_t kMiddleStep = 1024, kLargeStep = 4096;
constexpr std::size_t kSmall = kSmallUntil / PrefixHasher::kStep;
constexpr std::size_t kMiddle = (kMiddleUntil - kSmallUntil) / kMiddleStep;
constexpr std::size_t kSweepAt = 1024;  // forgotten targets

}  // namespace

std::size_t PrefixHasher::covered(std::size_t index) {
  auto number = index + 1;
  if (number <= kSmall) return number * kStep;
  if (number <= kSmall + kMiddle) return kSmallUntil + (number - kSmall) * kMiddleStep;
  return kMiddleUntil + (number - kSmall - kMiddle) * kLargeStep;
}

void PrefixHasher::chain(const char* block) {
  constexpr std::uint64_t kFirst = 0xa0761d6478bd642full, kSecond = 0xe7037ed1a0b428dbull;
  for (std::size_t at = 0; at < kStep; at += 16) {
    std::uint64_t words[2];
    std::memcpy(words, block + at, sizeof words);
    hash_ = fold_multiply(words[0] ^ hash_ ^ kFirst, words[1] ^ kSecond) + hash_ * 5;
  }
  hash_ = mix64(hash_);
}

void PrefixHasher::add(std::string_view text) {
  while (!text.empty() && hashes_.size() < kMostHashes) {
    auto part = text.substr(0, kStep - filled_);
    std::memcpy(block_.data() + filled_, part.data(), part.size());
    text.remove_prefix(part.size());
    filled_ += part.size();
    bytes_ += part.size();
    if (filled_ < kStep) return;
    filled_ = 0;
    chain(block_.data());
    if (bytes_ == covered(hashes_.size())) hashes_.push_back(hash_);
  }
  bytes_ += text.size();
}

PrefixAffinity::PrefixAffinity(Options options)
    : options_(options), entries_(1), table_(64), known_(1) {
  options_.capacity = std::clamp<std::size_t>(options_.capacity, 1, 1u << 30);
}

std::size_t PrefixAffinity::memory_bytes() const {
  constexpr std::size_t kNode = 48;  // of the map of targets
  return entries_.capacity() * sizeof(Entry) + table_.capacity() * sizeof(Slot) +
         known_.capacity() * sizeof(Known) + handles_.size() * kNode;
}

PrefixAffinity::Match PrefixAffinity::find(const PrefixKeys& keys) const {
  Match match;
  const auto& hashes = keys.hashes;
  // Whoever knows a prefix knows the shorter ones: they are learned together, the shorter as newer.
  std::size_t known = 0;
  for (auto unknown = hashes.size(); known < unknown;) {
    auto middle = known + (unknown - known) / 2;
    if (look_up(hashes[middle])) {
      known = middle + 1;
    } else {
      unknown = middle;
    }
  }
  for (; known > 0; --known) {
    auto slot = look_up(hashes[known - 1]);
    if (slot && held(entries_[*slot])) break;  // otherwise all its targets are forgotten
  }
  if (known == 0) return match;
  match.bytes = PrefixHasher::covered(known - 1);
  auto wanted = std::min(static_cast<double>(options_.min_bytes),
                         options_.min_part * static_cast<double>(keys.bytes));
  if (static_cast<double>(match.bytes) < wanted) return Match{};
  for (auto handle : entries_[*look_up(hashes[known - 1])].holders) {
    if (known_[handle].alive) match.targets[match.count++] = known_[handle].target;
  }
  return match;
}

void PrefixAffinity::learn(const PrefixKeys& keys, Target target) {
  auto count = std::min(keys.hashes.size(), options_.capacity);
  if (count == 0) return;
  auto [place, is_new] = handles_.try_emplace(target, static_cast<Handle>(known_.size()));
  if (is_new) known_.push_back({target, true});
  for (auto at = count; at-- > 0;) {
    auto hash = keys.hashes[at];
    auto slot = look_up(hash);
    if (slot) {
      unlink(*slot);
    } else {
      slot = insert(hash);
    }
    link_newest(*slot);
    hold(entries_[*slot], place->second);
  }
}

void PrefixAffinity::forget(Target target) {
  auto found = handles_.find(target);
  if (found == handles_.end()) return;
  known_[found->second].alive = false;
  handles_.erase(found);
  if (++dead_ >= kSweepAt) sweep();
}

bool PrefixAffinity::held(const Entry& entry) const {
  return std::ranges::any_of(entry.holders, [&](Handle handle) { return known_[handle].alive; });
}

// The newest first; the forgotten go.
void PrefixAffinity::hold(Entry& entry, Handle handle) {
  std::array<Handle, kHolders> kept{handle};
  std::size_t count = 1;
  for (auto other : entry.holders) {
    if (count < kHolders && other != handle && known_[other].alive) kept[count++] = other;
  }
  entry.holders = kept;
}

// Numbers the living targets anew, so that those forgotten over the years take no memory.
void PrefixAffinity::sweep() {
  std::vector<Handle> renamed(known_.size(), 0);
  std::vector<Known> living(1);
  for (std::size_t handle = 1; handle < known_.size(); ++handle) {
    if (!known_[handle].alive) continue;
    renamed[handle] = static_cast<Handle>(living.size());
    handles_[known_[handle].target] = renamed[handle];
    living.push_back(known_[handle]);
  }
  for (auto& entry : entries_) {
    for (auto& handle : entry.holders) handle = renamed[handle];
  }
  known_ = std::move(living);
  dead_ = 0;
}

// Where the hash stands in the table, or the empty place where it would stand.
std::size_t PrefixAffinity::place_of(std::uint64_t hash) const {
  const auto mask = table_.size() - 1;
  auto place = static_cast<std::size_t>(hash) & mask;
  while (table_[place] != 0 && entries_[table_[place]].hash != hash) place = (place + 1) & mask;
  return place;
}

std::optional<PrefixAffinity::Slot> PrefixAffinity::look_up(std::uint64_t hash) const {
  auto slot = table_[place_of(hash)];
  return slot == 0 ? std::nullopt : std::optional(slot);
}

PrefixAffinity::Slot PrefixAffinity::insert(std::uint64_t hash) {
  Slot slot = 0;
  if (used_ < options_.capacity) {
    slot = static_cast<Slot>(entries_.size());
    if (entries_.size() == entries_.capacity()) {
      entries_.reserve(std::min(entries_.size() * 2, options_.capacity + 1));
    }
    entries_.emplace_back();
    ++used_;
    if (used_ * 2 > table_.size()) grow_table();
  } else {  // full: the one not asked for longest makes room
    slot = entries_[0].newer;
    unlink(slot);
    erase_from_table(entries_[slot].hash);
  }
  entries_[slot] = Entry{.hash = hash};
  table_[place_of(hash)] = slot;
  return slot;
}

void PrefixAffinity::grow_table() {
  table_.assign(table_.size() * 2, 0);
  for (auto slot = entries_[0].older; slot != 0; slot = entries_[slot].older) {
    table_[place_of(entries_[slot].hash)] = slot;
  }
}

// Those that stood behind it because of it move up, so that no search ends too early.
void PrefixAffinity::erase_from_table(std::uint64_t hash) {
  const auto mask = table_.size() - 1;
  auto gap = place_of(hash);
  for (auto next = (gap + 1) & mask; table_[next] != 0; next = (next + 1) & mask) {
    auto home = static_cast<std::size_t>(entries_[table_[next]].hash) & mask;
    if (((next - home) & mask) >= ((next - gap) & mask)) {
      table_[gap] = table_[next];
      gap = next;
    }
  }
  table_[gap] = 0;
}

void PrefixAffinity::link_newest(Slot slot) {
  entries_[slot].newer = 0;
  entries_[slot].older = entries_[0].older;
  entries_[entries_[0].older].newer = slot;
  entries_[0].older = slot;
}

void PrefixAffinity::unlink(Slot slot) {
  const auto& entry = entries_[slot];
  entries_[entry.newer].older = entry.older;
  entries_[entry.older].newer = entry.newer;
}

}  // namespace corral::gateway

// Which targets served a prompt's beginning last, so that their caches may still hold it. Pure.
//
// A prompt is hashed at growing steps (every 256 bytes up to 4 KiB, every 1 KiB up to 32 KiB, every
// 4 KiB up to 256 KiB), each hash covering all from the start. The map remembers the hashes served
// most recently, each with up to three targets, newest first; its memory is bounded (about 40
// bytes an entry, 2.7 MB at 65,536 entries). A match counts when it covers half of the prompt or 4
// KiB: a greeting that all prompts share must not pull them all to one place.
//
// Thread rule: none of its own; one caller at a time. Lifecycle: lives as long as the routes;
// `forget` is for a target that went away or lost its cache (a restart).
//
//   PrefixHasher hasher(seed_of_model);
//   for (const auto& message : messages) { hasher.add(message.role); hasher.add(message.text); }
//   auto keys = hasher.finish();
//   auto match = affinity.find(keys);
//   auto choice = balancer.choose(view, {.holders = match.holders()}, random());
//   affinity.learn(keys, balancer.members()[choice->index].id);  // once it is on its way
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace corral::gateway {

struct PrefixKeys {
  std::vector<std::uint64_t> hashes;  // from the shortest prefix to the longest
  std::size_t bytes = 0;              // of the whole prompt
};

class PrefixHasher {
 public:
  // Prompts with another seed never match: one for each model. Pieces are hashed as if written one
  // after the other; a caller who cares where one ends adds a separator.
  explicit PrefixHasher(std::uint64_t seed) : hash_(seed) {}
  void add(std::string_view text);
  PrefixKeys finish() const { return {hashes_, bytes_}; }

  static constexpr std::size_t kStep = 256;
  static constexpr std::size_t kMostHashes = 100;
  // How many bytes the hash at this place covers.
  static std::size_t covered(std::size_t index);

 private:
  void chain(const char* block);

  std::uint64_t hash_;
  std::size_t bytes_ = 0;
  std::size_t filled_ = 0;
  std::array<char, kStep> block_{};
  std::vector<std::uint64_t> hashes_;
};

class PrefixAffinity {
 public:
  using Target = std::uint64_t;  // as Member::id
  static constexpr std::size_t kHolders = 3;

  struct Options {
    std::size_t capacity = 65'536;  // entries
    double min_part = 0.5;          // a match counts from this part of the prompt
    std::size_t min_bytes = 4096;   // or from this many bytes
  };

  struct Match {
    std::array<Target, kHolders> targets{};  // newest first
    std::size_t count = 0;
    std::size_t bytes = 0;  // of the prompt that they have seen
    std::span<const Target> holders() const { return std::span(targets).first(count); }
  };

  PrefixAffinity() : PrefixAffinity(Options{}) {}
  explicit PrefixAffinity(Options options);

  Match find(const PrefixKeys& keys) const;
  void learn(const PrefixKeys& keys, Target target);
  // Its entries count no more; their memory is reclaimed as they are met.
  void forget(Target target);

  std::size_t size() const { return used_; }
  std::size_t memory_bytes() const;

 private:
  using Slot = std::uint32_t;
  using Handle = std::uint32_t;  // names a target until it is forgotten; never used again
  struct Entry {
    std::uint64_t hash = 0;
    std::array<Handle, kHolders> holders{};
    Slot newer = 0;
    Slot older = 0;
  };
  struct Known {
    Target target = 0;
    bool alive = false;
  };

  std::optional<Slot> look_up(std::uint64_t hash) const;
  std::size_t place_of(std::uint64_t hash) const;
  Slot insert(std::uint64_t hash);
  void erase_from_table(std::uint64_t hash);
  void grow_table();
  void link_newest(Slot slot);
  void unlink(Slot slot);
  void hold(Entry& entry, Handle handle);
  bool held(const Entry& entry) const;
  void sweep();

  Options options_;
  std::size_t used_ = 0;
  std::vector<Entry> entries_;  // [0] is the ends of the list: newest in `older`, oldest in `newer`
  std::vector<Slot> table_;     // open addressing, linear probing; 0 = empty
  std::vector<Known> known_;    // [0] is nobody
  std::unordered_map<Target, Handle> handles_;
  std::size_t dead_ = 0;
};

}  // namespace corral::gateway

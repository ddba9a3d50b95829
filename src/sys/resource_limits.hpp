// Limits that the system keeps for one child process and all that it starts: memory, processors,
// its share of the disk.
//
// What the system offers differs: control groups where we may make them, and nothing else that fits
// (a limit of address space or of writable mappings counts what is promised, not what is used: an
// idle engine of 24 MiB has 630 MiB of it). So a group says which of the limits it keeps, and the
// caller keeps the others, or does without.
//
// Thread rule: one owner for each object; make and destroy groups where children are started. The
// calls write a few small files. Lifecycle: groups end before what made them. A group goes with its
// destruction, which comes after the child was reaped; groups that a killed Corral left behind go
// when the next one starts. Example:
//   auto limits = sys::real_resource_limits();
//   auto group = limits->create({.memory = 4ull << 30, .processors = 1.5});
//   spec.join = group->join_files();
//   if (group->ways().memory == LimitWay::none) watch(*child);
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace corral::sys {

struct LimitWishes {
  std::uint64_t memory = 0;  // bytes, page cache that can go included; 0: no limit
  double processors = 0;     // that it may use on average; 0: all
  unsigned io_weight = 0;    // 1 to 1000, where others have 100; 0: as they
};

// By what a limit is kept.
enum class LimitWay {
  none,
  control_group_1,
  control_group_2,
  watch,     // somebody looks, and kills
  threads,   // it starts no more threads
  priority,  // a hint to the scheduler of the disk
};
std::string_view to_string(LimitWay way);

struct LimitWays {
  LimitWay memory = LimitWay::none;
  LimitWay processors = LimitWay::none;
  LimitWay io = LimitWay::none;
  bool operator==(const LimitWays&) const = default;
};

// The limits of one child.
class LimitedGroup {
 public:
  virtual ~LimitedGroup() = default;
  virtual LimitWays ways() const = 0;  // of those asked for
  // Descriptors for SpawnSpec::join. They stay this object's.
  virtual std::vector<int> join_files() const = 0;
  // The system has ended a process in it, because it wanted more memory than the limit.
  virtual bool ran_out_of_memory() const = 0;
};

class ResourceLimits {
 public:
  virtual ~ResourceLimits() = default;
  virtual LimitWays ways() const = 0;  // that this machine has
  // Never null. What could not be set is `none` in its ways().
  virtual std::unique_ptr<LimitedGroup> create(const LimitWishes& wishes) = 0;
};

// Control groups of version 2 or 1, below the one that this process is in. Looks once what may be
// written there, and removes what a Corral that is no more has left.
std::unique_ptr<ResourceLimits> real_resource_limits();

}  // namespace corral::sys

#include "sys/resource_limits_linux.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "sys/host_linux.hpp"

namespace corral::sys {
namespace {

constexpr std::string_view kPrefix = "corral-";
constexpr std::int64_t kPeriod = 100'000;  // microseconds, the kernel's own

enum Kind : std::size_t { kMemory, kProcessors, kIo, kKinds };
constexpr std::array<std::string_view, kKinds> kVersion2{"memory", "cpu", "io"};
constexpr std::array<std::string_view, kKinds> kVersion1{"memory", "cpu", "blkio"};

// Where groups for one kind of limit are made.
struct Base {
  LimitWay way = LimitWay::none;
  Path folder;
};

bool has_word(std::string_view list, std::string_view wanted) {
  const auto words = split(trim(list), ' ');
  return std::ranges::find(words, wanted) != words.end();
}

// When a process began, in ticks since the machine started: with its number it names it for good.
std::string started(ControlFiles& files, const Path& root, const std::string& pid) {
  const std::string stat = files.read(root / "proc" / pid / "stat");
  const auto close = stat.rfind(')');
  if (close == std::string::npos) return {};
  const auto fields = split(trim(std::string_view(stat).substr(close + 1)), ' ');
  constexpr std::size_t kState = 0, kStart = 19;
  if (fields.size() <= kStart || fields[kState] == "Z") return {};
  return std::string(fields[kStart]);
}

std::string quota(double processors) {
  return std::to_string(std::max(std::llround(processors * static_cast<double>(kPeriod)), 1'000ll));
}

// "oom_kill 1", as memory.events and memory.oom_control have it.
bool killed_one(std::string_view text) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with("oom_kill ")) continue;
    return parse_int(trim(line.substr(9))).value_or(0) > 0;
  }
  return false;
}

class Groups;

class ControlGroup final : public LimitedGroup {
 public:
  struct Folder {
    Path path;
    Fd members;
  };

  explicit ControlGroup(Groups& owner) : owner_(owner) {}
  ~ControlGroup() override;

  LimitWays ways() const override { return ways_; }
  std::vector<int> join_files() const override {
    std::vector<int> out;
    out.reserve(folders_.size());
    for (const Folder& each : folders_) out.push_back(each.members.get());
    return out;
  }
  bool ran_out_of_memory() const override;

  Groups& owner_;
  LimitWays ways_;
  std::vector<Folder> folders_;
  Path events_;  // where the system counts what it ended
};

class Groups final : public ResourceLimits {
 public:
  Groups(Path root, std::unique_ptr<ControlFiles> files, int pid)
      : root_(std::move(root)), files_(std::move(files)) {
    const std::string number = std::to_string(pid);
    own_name_ = std::string(kPrefix) + number + "-" + started(*files_, root_, number) + "-";
    find_version_2(pid);
    for (std::size_t kind = 0; kind < kKinds; ++kind) find_version_1(static_cast<Kind>(kind));
    for (const Base& base : bases_) remove_leftovers(base.folder);
  }

  ~Groups() override { retry_removals(); }

  LimitWays ways() const override {
    return {bases_[kMemory].way, bases_[kProcessors].way, bases_[kIo].way};
  }

  std::unique_ptr<LimitedGroup> create(const LimitWishes& wishes) override {
    retry_removals();
    auto group = std::make_unique<ControlGroup>(*this);
    const std::string name = own_name_ + std::to_string(++last_);
    if (wishes.memory > 0 && limit_memory(*group, name, wishes.memory)) {
      group->ways_.memory = bases_[kMemory].way;
    }
    if (wishes.processors > 0 && limit_processors(*group, name, wishes.processors)) {
      group->ways_.processors = bases_[kProcessors].way;
    }
    if (wishes.io_weight > 0 && weigh_io(*group, name, wishes.io_weight)) {
      group->ways_.io = bases_[kIo].way;
    }
    return group;
  }

  void remove(const Path& folder) {
    if (!files_->remove_folder(folder)) stuck_.push_back(folder);
  }

  ControlFiles& files() { return *files_; }

 private:
  // The folder of the group there, made and ready to be joined; version 2 has one for all kinds.
  std::optional<Path> open_folder(ControlGroup& group, Kind kind, const std::string& name) {
    const Base& base = bases_[kind];
    if (base.way == LimitWay::none) return std::nullopt;
    Path path = base.folder / name;
    for (const auto& each : group.folders_) {
      if (each.path == path) return path;
    }
    if (!files_->make_folder(path)) return std::nullopt;
    Fd members = files_->open_to_write(path / "cgroup.procs");
    if (!members.valid()) {
      remove(path);
      return std::nullopt;
    }
    group.folders_.push_back({path, std::move(members)});
    return path;
  }

  bool limit_memory(ControlGroup& group, const std::string& name, std::uint64_t bytes) {
    const auto path = open_folder(group, kMemory, name);
    if (!path) return false;
    const std::string text = std::to_string(bytes);
    if (bases_[kMemory].way == LimitWay::control_group_2) {
      group.events_ = *path / "memory.events";
      files_->write(*path / "memory.swap.max", "0");
      files_->write(*path / "memory.oom.group", "1");
      return files_->write(*path / "memory.max", text);
    }
    group.events_ = *path / "memory.oom_control";
    if (!files_->write(*path / "memory.limit_in_bytes", text)) return false;
    // With swap, and only after the limit without, which may not be above it. Few systems count it.
    files_->write(*path / "memory.memsw.limit_in_bytes", text);
    return true;
  }

  bool limit_processors(ControlGroup& group, const std::string& name, double processors) {
    const auto path = open_folder(group, kProcessors, name);
    if (!path) return false;
    if (bases_[kProcessors].way == LimitWay::control_group_2) {
      return files_->write(*path / "cpu.max", quota(processors) + " " + std::to_string(kPeriod));
    }
    return files_->write(*path / "cpu.cfs_period_us", std::to_string(kPeriod)) &&
           files_->write(*path / "cpu.cfs_quota_us", quota(processors));
  }

  // Which file there is depends on the disk's scheduler.
  bool weigh_io(ControlGroup& group, const std::string& name, unsigned weight) {
    const auto path = open_folder(group, kIo, name);
    if (!path) return false;
    const std::string text = std::to_string(std::clamp(weight, 1u, 1000u));
    const bool second = bases_[kIo].way == LimitWay::control_group_2;
    const std::array<std::string_view, 2> names =
        second ? std::array<std::string_view, 2>{"io.weight", "io.bfq.weight"}
               : std::array<std::string_view, 2>{"blkio.weight", "blkio.bfq.weight"};
    bool held = false;
    for (std::string_view file : names) held = files_->write(*path / file, text) || held;
    return held;
  }

  void find_version_2(int pid) {
    const auto hierarchy = find_hierarchy(root_, "");
    if (!hierarchy) return;
    const Path own = hierarchy->mount / hierarchy->group;
    const std::string offered = files_->read(own / "cgroup.controllers");
    const auto wanted = [&](std::string_view name) { return has_word(offered, name); };
    if (std::ranges::none_of(kVersion2, wanted)) return;
    if (!hand_down(own, offered, pid)) return;
    const std::string enabled = files_->read(own / "cgroup.subtree_control");
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
      if (has_word(enabled, kVersion2[kind])) try_base(kind, LimitWay::control_group_2, own);
    }
  }

  // A group's controllers are for those below it only when no process is in the group itself, so
  // this process moves one down first. Where others are in there too, it moves back.
  bool hand_down(const Path& own, std::string_view offered, int pid) {
    std::string wanted;
    const std::string enabled = files_->read(own / "cgroup.subtree_control");
    for (std::string_view name : kVersion2) {
      if (has_word(offered, name) && !has_word(enabled, name)) {
        wanted.append(wanted.empty() ? "+" : " +").append(name);
      }
    }
    const Path switches = own / "cgroup.subtree_control";
    if (wanted.empty() || files_->write(switches, wanted)) return true;
    const Path self = own / (own_name_ + "self");
    if (!files_->make_folder(self)) return false;
    const std::string number = std::to_string(pid);
    if (files_->write(self / "cgroup.procs", number) && files_->write(switches, wanted))
      return true;
    files_->write(own / "cgroup.procs", number);
    remove(self);
    return false;
  }

  void find_version_1(Kind kind) {
    if (bases_[kind].way != LimitWay::none) return;
    const auto hierarchy = find_hierarchy(root_, kVersion1[kind]);
    if (hierarchy) {
      try_base(kind, LimitWay::control_group_1, hierarchy->mount / hierarchy->group);
    }
  }

  // Can a group be made there?
  void try_base(std::size_t kind, LimitWay way, const Path& folder) {
    const Path probe = folder / (own_name_ + "probe");
    if (!files_->make_folder(probe)) return;
    remove(probe);
    bases_[kind] = {way, folder};
  }

  // Groups of a process that is no more; one that has members left is not removed.
  void remove_leftovers(const Path& folder) {
    if (folder.empty()) return;
    for (const std::string& name : files_->folders(folder)) {
      const auto parts = split(name, '-');  // corral, process, its start, number
      if (parts.size() != 4 || !name.starts_with(kPrefix) || name.starts_with(own_name_)) continue;
      if (started(*files_, root_, std::string(parts[1])) == parts[2] && !parts[2].empty()) continue;
      files_->remove_folder(folder / name);
    }
  }

  // What was killed may be in its group a moment longer.
  void retry_removals() {
    std::erase_if(stuck_, [this](const Path& folder) { return files_->remove_folder(folder); });
  }

  Path root_;
  std::unique_ptr<ControlFiles> files_;
  std::string own_name_;
  std::array<Base, kKinds> bases_;
  std::vector<Path> stuck_;
  std::uint64_t last_ = 0;
};

ControlGroup::~ControlGroup() {
  for (const Folder& each : folders_) owner_.remove(each.path);
}

bool ControlGroup::ran_out_of_memory() const {
  return !events_.empty() && killed_one(owner_.files().read(events_));
}

}  // namespace

std::string_view to_string(LimitWay way) {
  switch (way) {
    case LimitWay::none: return "none";
    case LimitWay::control_group_1: return "cgroup v1";
    case LimitWay::control_group_2: return "cgroup v2";
    case LimitWay::watch: return "watch";
    case LimitWay::threads: return "threads";
    case LimitWay::priority: return "priority";
  }
  return "none";
}

std::unique_ptr<ResourceLimits> resource_limits_below(const Path& root,
                                                      std::unique_ptr<ControlFiles> files,
                                                      int pid) {
  return std::make_unique<Groups>(root, std::move(files), pid);
}

std::unique_ptr<ResourceLimits> real_resource_limits() {
  return resource_limits_below("/", real_control_files(), ::getpid());
}

}  // namespace corral::sys

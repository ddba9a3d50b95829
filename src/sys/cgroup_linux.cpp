#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/text.hpp"
#include "sys/host_linux.hpp"

namespace corral::sys {
namespace {

std::string file_text(const Path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::uint64_t> file_number(const Path& path) {
  auto number = parse_int(trim(file_text(path)));
  if (!number || *number < 0) return std::nullopt;  // missing, or "max"
  return static_cast<std::uint64_t>(*number);
}

// "name 123" lines, as in memory.stat.
std::uint64_t named_number(const std::string& text, std::string_view name) {
  for (std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') continue;
    return static_cast<std::uint64_t>(
        std::max<std::int64_t>(parse_int(line.substr(name.size() + 1)).value_or(0), 0));
  }
  return 0;
}

bool lists(std::string_view comma_list, std::string_view wanted) {
  std::vector<std::string_view> parts = split(comma_list, ',');
  return std::ranges::find(parts, wanted) != parts.end();
}

// From our own group up to the mount.
std::vector<Path> groups_upwards(const Hierarchy& hierarchy) {
  std::vector<Path> groups;
  for (Path group = hierarchy.group; !group.empty(); group = group.parent_path())
    groups.push_back(hierarchy.mount / group);
  groups.push_back(hierarchy.mount);
  return groups;
}

template <class T>
void lower(std::optional<T>& limit, T value) {
  limit = limit ? std::min(*limit, value) : value;
}

void apply_memory(CgroupLimits& limits, std::uint64_t limit, std::uint64_t used,
                  std::uint64_t reclaimable) {
  lower(limits.memory_limit, limit);
  used -= std::min(used, reclaimable);
  lower(limits.memory_headroom, limit - std::min(limit, used));
}

void read_version_2(const Hierarchy& hierarchy, CgroupLimits& limits) {
  for (const Path& group : groups_upwards(hierarchy)) {
    std::string quota_text = file_text(group / "cpu.max");
    std::vector<std::string_view> quota = split(trim(quota_text), ' ');
    if (quota.size() == 2) {
      auto microseconds = parse_int(quota[0]);
      auto period = parse_int(quota[1]);
      if (microseconds && period && *microseconds > 0 && *period > 0)
        lower(limits.cpus, static_cast<double>(*microseconds) / static_cast<double>(*period));
    }
    if (auto limit = file_number(group / "memory.max"))
      apply_memory(limits, *limit, file_number(group / "memory.current").value_or(0),
                   named_number(file_text(group / "memory.stat"), "inactive_file"));
  }
}

void read_version_1_cpu(const Hierarchy& hierarchy, CgroupLimits& limits) {
  for (const Path& group : groups_upwards(hierarchy)) {
    auto quota = file_number(group / "cpu.cfs_quota_us");  // -1: none
    auto period = file_number(group / "cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0)
      lower(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
  }
}

void read_version_1_memory(const Hierarchy& hierarchy, CgroupLimits& limits) {
  constexpr std::uint64_t kUnlimited = 1ull << 60;  // the kernel writes LONG_MAX in whole pages
  for (const Path& group : groups_upwards(hierarchy)) {
    auto limit = file_number(group / "memory.limit_in_bytes");
    if (!limit || *limit >= kUnlimited) continue;
    apply_memory(limits, *limit, file_number(group / "memory.usage_in_bytes").value_or(0),
                 named_number(file_text(group / "memory.stat"), "total_inactive_file"));
  }
}

}  // namespace

// /proc/self/mountinfo: id parent major:minor root mount options [optional] - type source super.
std::optional<Hierarchy> find_hierarchy(const Path& root, std::string_view controller) {
  bool unified = controller.empty();
  std::string group;
  for (std::string_view line : split(file_text(root / "proc/self/cgroup"), '\n')) {
    std::vector<std::string_view> parts = split(line, ':');
    if (parts.size() < 3) continue;
    if (unified ? parts[1].empty() : lists(parts[1], controller))
      group = line.substr(parts[0].size() + parts[1].size() + 2);
  }
  if (group.empty()) return std::nullopt;
  for (std::string_view line : split(file_text(root / "proc/self/mountinfo"), '\n')) {
    std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    std::vector<std::string_view> left = split(line.substr(0, dash), ' ');
    std::vector<std::string_view> right = split(line.substr(dash + 3), ' ');
    if (left.size() < 6 || right.size() < 3) continue;
    bool matches =
        unified ? right[0] == "cgroup2" : right[0] == "cgroup" && lists(right[2], controller);
    if (!matches) continue;
    // In a container the mount may begin below the true root of the hierarchy.
    std::string_view top = left[3] == "/" ? "" : left[3];
    std::string_view below = group;
    below = below.starts_with(top) ? below.substr(top.size()) : std::string_view("/");
    return Hierarchy{root / Path(left[4]).relative_path(), Path(below).relative_path()};
  }
  return std::nullopt;
}

CgroupLimits cgroup_limits(const Path& root) {
  CgroupLimits limits;
  if (auto unified = find_hierarchy(root, "")) read_version_2(*unified, limits);
  if (auto cpu = find_hierarchy(root, "cpu")) read_version_1_cpu(*cpu, limits);
  if (auto memory = find_hierarchy(root, "memory")) read_version_1_memory(*memory, limits);
  return limits;
}

}  // namespace corral::sys

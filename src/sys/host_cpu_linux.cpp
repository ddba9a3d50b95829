#include "sys/host_cpu.hpp"

#include <array>
#include <fstream>
#include <string>

#include "base/text.hpp"

namespace corral::sys {

std::optional<CpuTimes> cpu_times(const std::filesystem::path& root) {
  std::ifstream file(root / "proc/stat");
  std::string line;
  // "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guests are counted in
  // user and nice already.
  if (!std::getline(file, line) || !line.starts_with("cpu ")) return std::nullopt;
  constexpr std::size_t kCounted = 8;
  constexpr std::size_t kIdle = 3;
  constexpr std::size_t kDisks = 4;
  CpuTimes times;
  std::size_t at = 0;
  for (std::string_view word : split(std::string_view(line).substr(4), ' ')) {
    if (word.empty()) continue;
    auto ticks = parse_int(word);
    if (!ticks || *ticks < 0) return std::nullopt;
    times.total += static_cast<std::uint64_t>(*ticks);
    if (at != kIdle && at != kDisks) times.busy += static_cast<std::uint64_t>(*ticks);
    if (++at == kCounted) break;
  }
  if (at <= kDisks) return std::nullopt;
  return times;
}

double busy_part(const std::optional<CpuTimes>& before, const std::optional<CpuTimes>& after) {
  // Counters of a processor that went may go back.
  if (!before || !after || after->total <= before->total || after->busy < before->busy) return 0;
  double part = static_cast<double>(after->busy - before->busy) /
                static_cast<double>(after->total - before->total);
  return part > 1 ? 1 : part;
}

}  // namespace corral::sys

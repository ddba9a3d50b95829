#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/text.hpp"
#include "sys/process.hpp"
#include "sys/process_linux.hpp"

namespace corral::sys {
namespace {

bool is_executable_file(const Path& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<Path> find_program(const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid_argument, "'" + name + "' is not the name of a program");
  const char* value = std::getenv("PATH");
  std::string_view path = value != nullptr ? value : "/usr/local/bin:/usr/bin:/bin";
  for (std::string_view folder : split(path, ':')) {
    // Relative entries are skipped: what runs must not depend on where we were started.
    if (folder.empty() || folder.front() != '/') continue;
    Path candidate = Path(folder) / name;
    if (is_executable_file(candidate)) return candidate;
  }
  return fail(ErrorCode::not_found, "there is no program '" + name + "' on PATH");
}

std::map<std::string, std::string> environment_without(
    const std::vector<std::string>& dropped_prefixes) {
  std::map<std::string, std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    std::string_view name = text.substr(0, equals);
    auto dropped = [&](const std::string& prefix) { return name.starts_with(prefix); };
    if (std::ranges::any_of(dropped_prefixes, dropped)) continue;
    result.emplace(name, text.substr(equals + 1));
  }
  return result;
}

ProcessUsage process_usage(int pid) {
  std::string folder = "/proc/" + std::to_string(pid);
  std::string line;
  std::ifstream stat(folder + "/stat");
  if (!std::getline(stat, line)) return {};
  // The command's name may hold spaces and parentheses; the fields begin after the last one.
  std::size_t close = line.rfind(')');
  if (close == std::string::npos) return {};
  std::vector<std::string_view> fields = split(trim(std::string_view(line).substr(close + 1)), ' ');
  constexpr std::size_t kState = 0, kUserTicks = 11, kSystemTicks = 12;
  if (fields.size() <= kSystemTicks || fields[kState] == "Z") return {};
  auto number = [&](std::size_t index) { return parse_int(fields[index]).value_or(0); };
  std::int64_t ticks = number(kUserTicks) + number(kSystemTicks);
  // The resident size in "stat" lags behind by up to 64 pages a processor; "statm" adds up.
  std::ifstream statm(folder + "/statm");
  std::uint64_t all = 0, resident = 0, shared = 0;
  statm >> all >> resident >> shared;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {.resident_bytes = resident * page,
          .private_bytes = (resident - std::min(resident, shared)) * page,
          .cpu_time = std::chrono::milliseconds(ticks * 1000 / ::sysconf(_SC_CLK_TCK))};
}

}  // namespace corral::sys

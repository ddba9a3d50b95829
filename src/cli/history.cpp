#include "cli/history.hpp"

#include "base/text.hpp"

namespace corral::cli {

namespace {
constexpr std::uint64_t kLongestHistory = 4u << 20;
}

std::vector<std::string> HistoryFile::load() {
  auto text = files_.read(path_, kLongestHistory);
  std::vector<std::string> lines;
  if (!text) return lines;
  for (std::string_view line : split(*text, '\n')) {
    if (!line.empty()) lines.emplace_back(line);
  }
  if (lines.size() > kLines) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kLines));
  }
  return lines;
}

Result<void> HistoryFile::add(std::string_view line) {
  if (trim(line).empty() || line.find_first_of("\r\n") != std::string_view::npos) return {};
  std::vector<std::string> lines = load();
  if (!lines.empty() && lines.back() == line) return {};
  lines.emplace_back(line);
  if (lines.size() > kLines) lines.erase(lines.begin());
  CORRAL_CHECK(files_.make_directories(path_.parent_path(), 0700));
  return files_.write_atomic(path_, join(lines, "\n") + "\n", 0600);
}

}  // namespace corral::cli

#include "config/reader.hpp"

#include "base/text.hpp"

namespace corral::config {
namespace {

constexpr std::size_t kMostProblems = 50;

}  // namespace

std::string joined(std::string_view prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
}

bool Reader::full() const { return problems_.size() > kMostProblems; }

std::string Reader::all_problems() const {
  std::string text;
  for (std::size_t i = 0; i < std::min(problems_.size(), kMostProblems); ++i) {
    if (!text.empty()) text += '\n';
    text += problems_[i];
  }
  if (full()) text += fmt::format("\nand {} more", problems_.size() - kMostProblems);
  return text;
}

void Reader::report(const std::string& place, const std::string& what) {
  problems_.push_back(place.empty() ? what : fmt::format("{}: {}", place, what));
}

void Reader::report_unknown(const std::string& place, const std::string& path,
                            std::span<const std::string> known) {
  constexpr std::size_t kLongest = 200;  // nothing is near to longer ones
  auto near = path.size() > kLongest ? std::vector<std::string>() : nearest(path, known, 1);
  report(place, fmt::format("unknown key {}{}", quoted_for_message(path),
                            near.empty() ? std::string()
                                         : fmt::format("; did you mean '{}'?", near.front())));
}

std::string Reader::place_of(std::string path) const {
  for (;;) {
    if (auto found = places_.find(path); found != places_.end()) return found->second;
    auto cut = path.find_last_of(".[");
    if (cut == std::string::npos) return {};
    path.resize(cut);
  }
}

void Reader::report_twice(const Key& key, const std::string& path, int first_line) {
  report(in_file(key.line),
         fmt::format("{} is given twice (first in line {})", quoted_for_message(path), first_line));
}

void Reader::report_no_section(const ConfigNode& node, const std::string& path) {
  constexpr std::string_view kWhat = "a section with keys is expected";
  std::string place = place_of(path);
  report(place.empty() ? in_file(std::max(1, node.line)) : place,
         path.empty() ? std::string(kWhat) : fmt::format("{}: {}", path, kWhat));
}

void Reader::report_no_list(const std::string& path, std::span<const std::string> required) {
  std::string with;
  for (std::size_t i = 0; i < required.size(); ++i) {
    with += i == 0 ? "" : i + 1 == required.size() ? " and " : ", ";
    with += required[i];
  }
  report(place_of(path), fmt::format("{}: a list is expected, each with {}", path, with));
}

}  // namespace corral::config

#include "base/text.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace corral {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

struct Unit {
  std::string_view name;
  double factor;
};

constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
constexpr Unit kByteUnits[] = {{"", 1},
                               {"b", 1},
                               {"kb", 1e3},
                               {"mb", 1e6},
                               {"gb", 1e9},
                               {"tb", 1e12},
                               {"k", 1024.0},
                               {"m", 1048576.0},
                               {"g", 1073741824.0},
                               {"kib", 1024.0},
                               {"mib", 1048576.0},
                               {"gib", 1073741824.0},
                               {"tib", 1099511627776.0}};

// Reads a non-negative decimal number at the front of `text` and removes it.
std::optional<double> take_number(std::string_view& text) {
  double value = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc{} || value < 0 || !std::isfinite(value)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::string_view take_word(std::string_view& text) {
  std::size_t size = 0;
  while (size < text.size() &&
         ((text[size] >= 'a' && text[size] <= 'z') || (text[size] >= 'A' && text[size] <= 'Z'))) {
    ++size;
  }
  auto word = text.substr(0, size);
  text.remove_prefix(size);
  return word;
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

bool iequals(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string result;
  for (const auto& part : parts) {
    if (!result.empty()) result += separator;
    result += part;
  }
  return result;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_previous(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_previous[j - 2] + 1);
      }
    }
    std::swap(before_previous, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

std::vector<std::string> nearest(std::string_view wanted, std::span<const std::string> names,
                                 std::size_t most) {
  constexpr std::size_t kLongest = 200;  // hostile names are not worth a quadratic comparison
  std::string low = to_lower(wanted.substr(0, kLongest));
  std::vector<std::pair<std::size_t, std::size_t>> close;  // distance, index in names
  for (std::size_t index = 0; index < names.size(); ++index) {
    const std::string& name = names[index];
    std::string other = to_lower(std::string_view(name).substr(0, kLongest));
    std::size_t distance = edit_distance(low, other);
    bool contains = low.size() >= 3 && other.size() >= 3 &&
                    (other.find(low) != std::string::npos || low.find(other) != std::string::npos);
    if (distance <= std::max<std::size_t>(1, std::max(low.size(), other.size()) / 3) || contains) {
      close.emplace_back(contains ? std::min<std::size_t>(distance, 2) : distance, index);
    }
  }
  std::ranges::sort(close);
  std::vector<std::string> result;
  for (const auto& [distance, index] : close) {
    if (result.size() == most) break;
    result.push_back(names[index]);
  }
  return result;
}

Result<std::int64_t> parse_int(std::string_view text) {
  text = trim(text);
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a whole number", text));
  }
  return value;
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  auto bad = [&] {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a duration", text))
        .hint("write for example 250ms, 30s, 5m or 1h30m");
  };
  std::string_view rest = trim(text);
  if (rest.empty()) return bad();
  double total = 0;
  bool bare_allowed = true;
  while (!rest.empty()) {
    auto number = take_number(rest);
    if (!number) return bad();
    std::string word = to_lower(take_word(rest));
    if (word.empty() && bare_allowed && rest.empty()) word = "s";
    const auto* unit = std::ranges::find(kDurationUnits, std::string_view(word), &Unit::name);
    if (unit == std::end(kDurationUnits)) return bad();
    total += *number * unit->factor;
    bare_allowed = false;
  }
  constexpr double kMost = 1e15;  // some 30,000 years; keeps the cast below defined
  if (total > kMost) return bad();
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::llround(total)));
}

std::string format_duration(std::chrono::milliseconds value) {
  auto ms = value.count();
  if (ms == 0) return "0s";
  std::string result;
  auto take = [&](std::int64_t unit, std::string_view name) {
    if (ms >= unit) {
      result += fmt::format("{}{}", ms / unit, name);
      ms %= unit;
    }
  };
  take(3600000, "h");
  take(60000, "m");
  take(1000, "s");
  take(1, "ms");
  return result;
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  std::string_view rest = trim(text);
  auto number = rest.empty() ? std::nullopt : take_number(rest);
  std::string word = to_lower(trim(rest));
  const auto* unit = std::ranges::find(kByteUnits, std::string_view(word), &Unit::name);
  if (!number || unit == std::end(kByteUnits) || *number * unit->factor > 9e18) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a size in bytes", text))
        .hint("write for example 4096, 64KiB or 1.5GiB");
  }
  return static_cast<std::uint64_t>(std::llround(*number * unit->factor));
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::string_view kNames[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t index = 0;
  while (value >= 1024 && index + 1 < std::size(kNames)) {
    value /= 1024;
    ++index;
  }
  return index == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[index]);
}

std::size_t utf8_sequence_length(std::string_view text) {
  if (text.empty()) return 0;
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto follows = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    bool overlong = first == 0xE0 && byte(1) < 0xA0;
    bool surrogate = first == 0xED && byte(1) > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    bool overlong = first == 0xF0 && byte(1) < 0x90;
    bool beyond = first == 0xF4 && byte(1) > 0x8F;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool wildcard_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string one_line(std::string_view text, std::size_t most) {
  std::string line(text.substr(0, most));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return line;
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0U : 1U;
  for (std::size_t i = 0; i < b.size(); ++i) {
    unsigned char left = i < a.size() ? static_cast<unsigned char>(a[i]) : 0;
    difference |= static_cast<unsigned>(left ^ static_cast<unsigned char>(b[i]));
  }
  return difference == 0;
}

}  // namespace corral

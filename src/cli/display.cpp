#include "cli/display.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"

namespace corral::cli {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// How many bytes the character that begins with `lead` should have; 0 if none begins so.
std::size_t expected_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Could `text`, shorter than its lead byte asks for, still become a valid character?
bool is_unfinished(std::string_view text) {
  auto lead = static_cast<unsigned char>(text[0]);
  if (text.size() >= expected_length(lead)) return false;
  for (char c : text.substr(1)) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) return false;
  }
  if (text.size() < 2) return true;
  // The second byte decides about overlong forms and surrogates: complete it and ask.
  std::string complete(text);
  complete.resize(expected_length(lead), '\x80');
  return utf8_sequence_length(complete) != 0;
}

// The picture of a control character: U+2400 + its code, U+2421 for DEL.
std::string picture(unsigned char control) {
  char last = control == 0x7F ? '\xA1' : static_cast<char>(0x80 + control);
  return {'\xE2', '\x90', last};
}

void append_safe(std::string& out, std::string_view character, std::string_view allowed) {
  auto first = static_cast<unsigned char>(character[0]);
  bool control = first < 0x20 || first == 0x7F;
  if (control && allowed.find(character[0]) == std::string_view::npos) {
    out += picture(first);
    return;
  }
  bool c1 = first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  out += c1 ? kReplacement : character;
}

// Appends the safe form of `text` and returns the bytes at its end that may be half a character.
std::string_view filter_into(std::string& out, std::string_view text, std::string_view allowed) {
  while (!text.empty()) {
    std::size_t length = utf8_sequence_length(text);
    if (length == 0) {
      if (is_unfinished(text)) return text;
      out += kReplacement;
      text.remove_prefix(1);
      continue;
    }
    append_safe(out, text.substr(0, length), allowed);
    text.remove_prefix(length);
  }
  return {};
}

std::string safe(std::string_view text, std::string_view allowed) {
  std::string out;
  if (!filter_into(out, text, allowed).empty()) out += kReplacement;
  return out;
}

struct Range {
  char32_t first, last;
};

// Zero width: combining marks, joiners, variation selectors (the common blocks of Unicode 15).
constexpr Range kZeroWidth[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},  {0x064B, 0x065F},
    {0x200B, 0x200F}, {0x202A, 0x202E}, {0x2060, 0x2064}, {0x2066, 0x206F},  {0x20D0, 0x20F0},
    {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF}, {0xE0100, 0xE01EF}};
// East Asian wide and emoji (Unicode Annex 11, W and F, in blocks).
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},
    {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26AA, 0x26AB},   {0x2705, 0x2705},
    {0x2728, 0x2728},   {0x274C, 0x274C},   {0x2753, 0x2755},   {0x2795, 0x2797},
    {0x2B1B, 0x2B1C},   {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x1FA70, 0x1FAFF},
    {0x20000, 0x3FFFD}};

template <std::size_t N>
bool contains(const Range (&ranges)[N], char32_t code) {
  auto found = std::ranges::lower_bound(ranges, code, {}, &Range::last);
  return found != std::end(ranges) && found->first <= code;
}

char32_t code_point(std::string_view character) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0);
  char32_t code = byte(0) & (0xFFu >> (character.size() + 1));
  for (std::size_t i = 1; i < character.size(); ++i) code = (code << 6) | (byte(i) & 0x3Fu);
  return code;
}

void trim_end(std::string& text) { text.erase(text.find_last_not_of(' ') + 1); }

std::string plural(std::int64_t count, std::string_view unit) {
  return fmt::format("{} {}{}", count, unit, count == 1 ? "" : "s");
}

// Two digits of `text` at `at`, or -1.
int number_at(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (char c : text.substr(at, digits)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

// "Z", "+hh:mm" or "-hh:mm".
std::optional<std::chrono::minutes> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes(0);
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  int hours = number_at(text, 1, 2);
  int minutes = number_at(text, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  std::chrono::minutes total = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return text[0] == '-' ? -total : total;
}

}  // namespace

std::string TerminalFilter::filter(std::string_view bytes) {
  std::string joined = std::move(held_);
  joined += bytes;
  std::string out;
  held_ = std::string(filter_into(out, joined, "\n\t"));
  return out;
}

std::string TerminalFilter::finish() {
  return std::exchange(held_, {}).empty() ? std::string() : std::string(kReplacement);
}

std::string safe_text(std::string_view text) { return safe(text, "\n\t"); }
std::string safe_line(std::string_view text) { return safe(text, ""); }

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    std::size_t length = utf8_sequence_length(text);
    if (length == 0) {
      ++width;
      text.remove_prefix(1);
      continue;
    }
    char32_t code = code_point(text.substr(0, length));
    if (!contains(kZeroWidth, code)) width += contains(kWide, code) ? 2 : 1;
    text.remove_prefix(length);
  }
  return width;
}

std::string Paint::operator()(Tone tone, std::string_view text) const {
  if (!colors_ || tone == Tone::plain || text.empty()) return std::string(text);
  static constexpr std::array<std::string_view, 6> kCodes = {"0", "32", "33", "31", "2", "1"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(tone)], text);
}

void Table::add(std::vector<Cell> row) {
  row.resize(columns_.size());
  for (Cell& cell : row) cell.text = cell.text.empty() ? "-" : safe_line(cell.text);
  rows_.push_back(std::move(row));
}

std::string Table::render(const Paint& paint) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  std::string out;
  auto append_line = [&](auto&& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      Cell cell = cell_of(i);
      std::string padding(widths[i] - display_width(cell.text), ' ');
      if (i > 0) line += "  ";
      if (columns_[i].align == Align::right) line += padding;
      line += paint(cell.tone, cell.text);
      if (columns_[i].align == Align::left) line += padding;
    }
    trim_end(line);
    out += line + '\n';
  };
  append_line([&](std::size_t i) { return Cell{columns_[i].title, Tone::strong}; });
  for (const auto& row : rows_) append_line([&](std::size_t i) { return row[i]; });
  return out;
}

std::string render_fields(const std::vector<std::pair<std::string, std::string>>& fields,
                          const Paint& paint) {
  std::size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, display_width(name));
  std::string out;
  for (const auto& [name, value] : fields) {
    std::string safe_name = safe_line(name);
    std::size_t used = std::min(width, display_width(safe_name));
    out += paint(Tone::strong, safe_name) + std::string(width - used + 2, ' ') +
           (value.empty() ? "-" : safe_line(value)) + '\n';
  }
  return out;
}

std::string count_text(std::uint64_t count) {
  static constexpr std::array<std::string_view, 5> kSuffixes = {"", "K", "M", "B", "T"};
  auto value = static_cast<double>(count);
  std::size_t index = 0;
  // 999,950 would print as 1000.0K.
  while (value >= (index == 0 ? 1000 : 999.95) && index + 1 < kSuffixes.size()) {
    value /= 1000;
    ++index;
  }
  return index == 0 ? fmt::format("{}", count) : fmt::format("{:.1f}{}", value, kSuffixes[index]);
}

std::optional<sys::Wall> parse_rfc3339(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) {
    return std::nullopt;
  }
  int year = number_at(text, 0, 4), month = number_at(text, 5, 2), day = number_at(text, 8, 2);
  int hour = number_at(text, 11, 2), minute = number_at(text, 14, 2),
      second = number_at(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60) {
    return std::nullopt;
  }
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)),
                                   std::chrono::day(unsigned(day))};
  if (!date.ok()) return std::nullopt;
  std::size_t offset_at = text.find_first_not_of("0123456789", 20);
  if (text[19] != '.') offset_at = 19;
  if (offset_at == std::string_view::npos) return std::nullopt;
  auto offset = parse_offset(text.substr(offset_at));
  if (!offset) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) - *offset;
}

std::string duration_words(std::chrono::seconds value) {
  auto seconds = value.count();
  if (seconds < 60) return plural(std::max<std::int64_t>(seconds, 0), "second");
  if (seconds < 3600) return plural(seconds / 60, "minute");
  if (seconds < 48 * 3600) return plural(seconds / 3600, "hour");
  auto days = seconds / 86400;
  if (days < 14) return plural(days, "day");
  if (days < 60) return plural(days / 7, "week");
  if (days < 730) return plural(days / 30, "month");
  return plural(days / 365, "year");
}

std::string ago(sys::Wall then, sys::Wall now) {
  auto passed = std::chrono::duration_cast<std::chrono::seconds>(now - then);
  if (passed < std::chrono::seconds(1)) return "just now";
  return duration_words(passed) + " ago";
}

std::string in_time(sys::Wall then, sys::Wall now) {
  auto left = std::chrono::duration_cast<std::chrono::seconds>(then - now);
  if (left < std::chrono::seconds(1)) return "now";
  return "in " + duration_words(left);
}

}  // namespace corral::cli

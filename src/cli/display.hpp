// What people see: text made safe for a terminal, aligned tables, sizes, counts and times in words.
// No locale. Thread rule: plain values and free functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/clock.hpp"

namespace corral::cli {

// Makes a stream of outside text harmless on a terminal: control characters other than newline and
// tab become visible pictures (ESC is shown as U+241B), C1 controls and bytes that are not UTF-8
// become U+FFFD. Text may come in pieces that split a character.
class TerminalFilter {
 public:
  std::string filter(std::string_view bytes);
  std::string finish();  // what was held back of an unfinished character

 private:
  std::string held_;
};

std::string safe_text(std::string_view text);  // the same for a whole text
std::string safe_line(std::string_view text);  // also newline and tab become visible

// Columns that a terminal uses for `text` (UTF-8): 0 for combining marks, 2 for East Asian wide
// characters and emoji, 1 for the rest.
std::size_t display_width(std::string_view text);

enum class Tone { plain, good, busy, bad, dim, strong };
// Wraps text in ANSI colours, or leaves it alone.
class Paint {
 public:
  explicit Paint(bool colors) : colors_(colors) {}
  std::string operator()(Tone tone, std::string_view text) const;
  bool colors() const { return colors_; }

 private:
  bool colors_;
};

enum class Align { left, right };

// Rows of cells under a header, padded to the widest cell; two spaces between columns, none at the
// end of a line. Cells are made safe here.
class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  struct Cell {
    std::string text;
    Tone tone = Tone::plain;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  std::string render(const Paint& paint) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "Name      value" lines, values aligned.
std::string render_fields(const std::vector<std::pair<std::string, std::string>>& fields,
                          const Paint& paint);

std::string count_text(std::uint64_t count);                    // 1234567 -> "1.2M"
std::optional<sys::Wall> parse_rfc3339(std::string_view text);  // RFC 3339 section 5.6
std::string duration_words(std::chrono::seconds value);         // "45 seconds", "3 hours"
std::string ago(sys::Wall then, sys::Wall now);                 // "3 hours ago", "just now"
std::string in_time(sys::Wall then, sys::Wall now);             // "in 4 minutes", "now"

}  // namespace corral::cli

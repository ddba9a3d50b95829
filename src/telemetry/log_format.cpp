#include "telemetry/log_format.hpp"

#include <fmt/format.h>
#include <array>
#include <cmath>
#include <cstring>
#include <iterator>

#include "base/cursor.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::telemetry {
namespace {

std::string_view padded_name(LogLevel level) {
  switch (level) {
    case LogLevel::trace: return "TRACE";
    case LogLevel::debug: return "DEBUG";
    case LogLevel::info: return "INFO ";
    case LogLevel::warn: return "WARN ";
    case LogLevel::error: return "ERROR";
    case LogLevel::off: break;
  }
  return "OFF  ";
}

std::string_view colour_of(LogLevel level) {
  switch (level) {
    case LogLevel::warn: return "\033[33m";
    case LogLevel::error: return "\033[31m";
    case LogLevel::info: return "\033[32m";
    default: return "\033[2m";
  }
}

// C1 controls (U+0080 to U+009F) are two bytes in UTF-8; terminals act on them too.
bool is_c1_control(std::string_view sequence) {
  return sequence.size() == 2 && static_cast<unsigned char>(sequence[0]) == 0xC2 &&
         static_cast<unsigned char>(sequence[1]) < 0xA0;
}

constexpr std::size_t kLongestEscape = 4;   // of a byte: \x1b
constexpr std::size_t kLongestNumber = 32;  // "-2147483648.125", "-1.23457e+308"
constexpr std::size_t kLongestFrame = 64;   // time, level with its colour, separators

void put_hex(Cursor& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (char byte : bytes) {
    auto value = static_cast<unsigned char>(byte);
    out.put("\\x");
    out.put(kDigits[value >> 4]);
    out.put(kDigits[value & 15]);
  }
}

void put_control(Cursor& out, char control) {
  switch (control) {
    case '\n': out.put("\\n"); break;
    case '\r': out.put("\\r"); break;
    case '\t': out.put("\\t"); break;
    default: put_hex(out, {&control, 1});
  }
}

// What a character demands in a line. Most text demands nothing and is copied as it is.
enum Demand : unsigned char { kNothing = 0, kQuotes = 1, kEscapeInQuotes = 2, kEscape = 4 };

constexpr std::array<unsigned char, 256> make_demands() {
  std::array<unsigned char, 256> demands{};
  for (std::size_t c = 0; c < demands.size(); ++c) {
    if (c < 0x20 || c == 0x7F) demands[c] = kQuotes | kEscape;
    if (c >= 0x80) demands[c] = kEscape;
  }
  demands[' '] = demands['='] = kQuotes;
  demands['"'] = demands['\\'] = kQuotes | kEscapeInQuotes;
  return demands;
}
constexpr auto kDemands = make_demands();

unsigned demands_of(char c) { return kDemands[static_cast<unsigned char>(c)]; }

// Copies, and tells what the text demands: only then is it looked at more closely.
unsigned copy(Cursor& out, std::string_view text) {
  unsigned all = kNothing;
  for (char c : text) all |= demands_of(c);
  out.put(text);
  return all;
}

void put_escaped(Cursor& out, std::string_view text, unsigned escape) {
  while (!text.empty()) {
    std::size_t length = 1;
    unsigned demands = demands_of(text.front()) & escape;
    if (demands == kNothing) {
      out.put(text.front());
    } else if (demands == kEscapeInQuotes) {
      out.put('\\');
      out.put(text.front());
    } else {
      length = utf8_sequence_length(text);
      if (length == 1) {
        put_control(out, text.front());
      } else if (length == 0 || is_c1_control(text.substr(0, length))) {
        length = std::max<std::size_t>(length, 1);
        put_hex(out, text.substr(0, length));
      } else {
        out.put(text.substr(0, length));
      }
    }
    text.remove_prefix(length);
  }
}

void put_text(Cursor& out, std::string_view text) {
  Cursor begin = out;
  if ((copy(out, text) & kEscape) == 0) return;
  out = begin;
  put_escaped(out, text, kEscape);
}

void put_value(Cursor& out, std::string_view value) {
  Cursor begin = out;
  unsigned demands = copy(out, value);
  if (demands == kNothing && !value.empty()) return;
  out = begin;
  if (!value.empty() && (demands & kQuotes) == 0) {
    put_escaped(out, value, kEscape);
    return;
  }
  out.put('"');
  put_escaped(out, value, kEscape | kEscapeInQuotes);
  out.put('"');
}

// Numbers of a usual size with three decimals, such as milliseconds, are written without the
// general algorithm, which costs more than the rest of the line.
bool put_thousandths(Cursor& out, double value) {
  constexpr double kLimit = 1e6;
  if (!(value >= 0) || value >= kLimit) return false;
  auto thousandths = std::llround(value * 1000);
  out.put_number(thousandths / 1000);
  auto rest = static_cast<unsigned>(thousandths % 1000);
  if (rest == 0) return true;
  char digits[] = {'.', static_cast<char>('0' + rest / 100),
                   static_cast<char>('0' + rest / 10 % 10), static_cast<char>('0' + rest % 10)};
  std::size_t size = sizeof digits;
  while (digits[size - 1] == '0') --size;
  out.put(std::string_view(digits, size));
  return true;
}

struct TextValue {
  Cursor& out;
  void operator()(std::string_view value) const { put_value(out, value); }
  void operator()(std::int64_t value) const { out.put_number(value); }
  void operator()(double value) const {
    if (put_thousandths(out, value)) return;
    out.at = fmt::format_to_n(out.at, kLongestNumber, "{:.6g}", value).out;
  }
  void operator()(bool value) const { out.put(value ? "true" : "false"); }
};

std::size_t longest_line(const LogRecord& record) {
  std::size_t texts = record.component.size() + record.message.size();
  std::size_t rest = kLongestFrame;
  for (const LogField& field : record.fields) {
    texts += field.key.size();
    rest += kLongestNumber;
    if (const auto* text = std::get_if<std::string_view>(&field.value)) texts += text->size();
  }
  return texts * kLongestEscape + rest;
}

void append_number(std::string& out, std::int64_t value) {
  fmt::format_int text(value);
  out.append(text.data(), text.size());
}

struct JsonValue {
  std::string& out;
  void operator()(std::string_view value) const { json::append_quoted(out, value); }
  void operator()(std::int64_t value) const { append_number(out, value); }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(double value) const {
    if (std::isfinite(value)) {
      fmt::format_to(std::back_inserter(out), "{}", value);
    } else {
      out += "null";  // JSON has no infinity
    }
  }
};

}  // namespace

void append_timestamp(std::string& out, std::chrono::system_clock::time_point time) {
  auto moment = std::chrono::floor<std::chrono::milliseconds>(time);
  auto second = std::chrono::floor<std::chrono::seconds>(moment);
  // The calendar is worked out once a second and thread.
  thread_local std::chrono::sys_seconds known_second = std::chrono::sys_seconds::max();
  thread_local std::string known;
  if (second != known_second) {
    auto day = std::chrono::floor<std::chrono::days>(second);
    std::chrono::year_month_day date(day);
    std::chrono::hh_mm_ss clock(second - day);
    known = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.", static_cast<int>(date.year()),
                        static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                        clock.hours().count(), clock.minutes().count(), clock.seconds().count());
    known_second = second;
  }
  auto millis = static_cast<int>((moment - second).count());
  out += known;
  out += static_cast<char>('0' + millis / 100);
  out += static_cast<char>('0' + millis / 10 % 10);
  out += static_cast<char>('0' + millis % 10);
  out += 'Z';
}

void append_text_line(std::string& out, std::chrono::system_clock::time_point time,
                      const LogRecord& record, Colour colour) {
  append_timestamp(out, time);
  auto write = [&](Cursor line) {
    line.put(' ');
    if (colour == Colour::on) line.put(colour_of(record.level));
    line.put(padded_name(record.level));
    if (colour == Colour::on) line.put("\033[0m");
    line.put(' ');
    put_text(line, record.component);
    line.put(' ');
    put_text(line, record.message);
    for (const LogField& field : record.fields) {
      line.put(' ');
      line.put(field.key);  // our own words, unlike the values
      line.put('=');
      std::visit(TextValue{line}, field.value);
    }
    line.put('\n');
    return line.at;
  };
  std::size_t before = out.size();
  out.resize_and_overwrite(before + longest_line(record), [&](char* begin, std::size_t) {
    return static_cast<std::size_t>(write({begin + before}) - begin);
  });
}

void append_json_line(std::string& out, std::chrono::system_clock::time_point time,
                      const LogRecord& record) {
  out += "{\"time\":\"";
  append_timestamp(out, time);
  out += "\",\"level\":\"";
  out += to_string(record.level);
  out += "\",\"component\":";
  json::append_quoted(out, record.component);
  out += ",\"message\":";
  json::append_quoted(out, record.message);
  for (const LogField& field : record.fields) {
    out += ',';
    json::append_quoted(out, field.key);
    out += ':';
    std::visit(JsonValue{out}, field.value);
  }
  out += "}\n";
}

}  // namespace corral::telemetry

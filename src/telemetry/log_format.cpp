#include "telemetry/log_format.hpp"

#include <fmt/format.h>
#include <array>
#include <cmath>
#include <iterator>

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

void append_hex(std::string& out, std::string_view bytes) {
  for (char byte : bytes) {
    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(byte));
  }
}

void append_control(std::string& out, char control) {
  switch (control) {
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default: append_hex(out, {&control, 1});
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

unsigned demands_of(std::string_view text) {
  unsigned all = kNothing;
  for (char c : text) all |= kDemands[static_cast<unsigned char>(c)];
  return all;
}

bool is_plain(char c) { return c >= 0x20 && c < 0x7F; }

enum class Quotes { none, inside };

// Most text is plain: whole runs of it are copied at once.
std::size_t plain_run(std::string_view text, Quotes quotes) {
  std::size_t size = 0;
  while (size < text.size() && is_plain(text[size])) {
    if (quotes == Quotes::inside && (text[size] == '"' || text[size] == '\\')) break;
    ++size;
  }
  return size;
}

void append_escaped(std::string& out, std::string_view text, Quotes quotes) {
  while (true) {
    std::size_t run = plain_run(text, quotes);
    out.append(text.substr(0, run));
    text.remove_prefix(run);
    if (text.empty()) return;
    std::size_t length = utf8_sequence_length(text);
    if (is_plain(text.front())) {
      out += '\\';
      out += text.front();
    } else if (length == 1) {
      append_control(out, text.front());
    } else if (length == 0 || is_c1_control(text.substr(0, length))) {
      length = std::max<std::size_t>(length, 1);
      append_hex(out, text.substr(0, length));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
}

void append_unquoted(std::string& out, std::string_view text) {
  if ((demands_of(text) & kEscape) == 0) {
    out += text;
  } else {
    append_escaped(out, text, Quotes::none);
  }
}

void append_text_value(std::string& out, std::string_view value) {
  unsigned demands = demands_of(value);
  if (demands == kNothing && !value.empty()) {
    out += value;
    return;
  }
  bool quotes = value.empty() || (demands & kQuotes) != 0;
  if (quotes) out += '"';
  append_escaped(out, value, quotes ? Quotes::inside : Quotes::none);
  if (quotes) out += '"';
}

void append_number(std::string& out, std::int64_t value) {
  fmt::format_int text(value);
  out.append(text.data(), text.size());
}

// Numbers of a usual size with three decimals, such as milliseconds, are written without the
// general algorithm, which costs more than the rest of the line.
bool append_thousandths(std::string& out, double value) {
  constexpr double kLimit = 1e6;
  if (!(value >= 0) || value >= kLimit) return false;
  auto thousandths = static_cast<std::uint64_t>(std::llround(value * 1000));
  append_number(out, static_cast<std::int64_t>(thousandths / 1000));
  auto rest = static_cast<unsigned>(thousandths % 1000);
  if (rest == 0) return true;
  char digits[] = {'.', static_cast<char>('0' + rest / 100),
                   static_cast<char>('0' + rest / 10 % 10), static_cast<char>('0' + rest % 10)};
  std::size_t size = sizeof digits;
  while (digits[size - 1] == '0') --size;
  out.append(digits, size);
  return true;
}

struct TextValue {
  std::string& out;
  void operator()(std::string_view value) const { append_text_value(out, value); }
  void operator()(std::int64_t value) const { append_number(out, value); }
  void operator()(double value) const {
    if (!append_thousandths(out, value)) {
      fmt::format_to(std::back_inserter(out), "{:.6g}", value);
    }
  }
  void operator()(bool value) const { out += value ? "true" : "false"; }
};

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
  out += ' ';
  if (colour == Colour::on) {
    out += colour_of(record.level);
    out += padded_name(record.level);
    out += "\033[0m";
  } else {
    out += padded_name(record.level);
  }
  out += ' ';
  append_unquoted(out, record.component);
  out += ' ';
  append_unquoted(out, record.message);
  for (const LogField& field : record.fields) {
    out += ' ';
    append_unquoted(out, field.key);
    out += '=';
    std::visit(TextValue{out}, field.value);
  }
  out += '\n';
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

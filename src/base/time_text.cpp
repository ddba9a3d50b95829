#include "base/time_text.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace corral {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> digits(std::string_view text) {
  int value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

// "Sun, 06 Nov 1994 08:49:37 GMT": every part at its place.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text) {
  if (text.size() != 29 || text[3] != ',' || !text.ends_with(" GMT")) return std::nullopt;
  auto day = digits(text.substr(5, 2));
  auto month = std::ranges::find(kMonths, text.substr(8, 3));
  auto year = digits(text.substr(12, 4));
  auto hour = digits(text.substr(17, 2));
  auto minute = digits(text.substr(20, 2));
  auto second = digits(text.substr(23, 2));
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  using namespace std::chrono;
  auto date = year_month_day(std::chrono::year(*year),
                             std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
                             std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second);
}

}  // namespace

std::optional<seconds> parse_retry_after(std::string_view text, system_clock::time_point now) {
  constexpr seconds kMost = std::chrono::days(1);
  text = trim(text);
  if (auto date = parse_http_date(text)) {
    return std::clamp(std::chrono::ceil<seconds>(*date - now), seconds(0), kMost);
  }
  if (text.empty() || text.size() > 9) return std::nullopt;
  auto number = digits(text);
  if (!number) return std::nullopt;
  return std::min(seconds(*number), kMost);
}

std::string format_time(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  auto day = floor<days>(time);
  year_month_day date(day);
  hh_mm_ss clock(floor<milliseconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                     clock.subseconds().count());
}

}  // namespace corral

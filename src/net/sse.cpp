#include "net/sse.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

#include "base/text.hpp"

namespace corral::net {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kLongestRetryDigits = 12;

// Only ASCII digits count (section 9.2.6); a number that long is not a wait anyone means.
std::optional<std::chrono::milliseconds> parse_retry(std::string_view value) {
  if (value.empty() || value.size() > kLongestRetryDigits) return std::nullopt;
  std::int64_t total = 0;
  for (char c : value) {
    if (c < '0' || c > '9') return std::nullopt;
    total = total * 10 + (c - '0');
  }
  return std::chrono::milliseconds(total);
}

}  // namespace

void SseParser::feed(std::string_view bytes) {
  if (failed_) return;
  buffer_.erase(0, taken_);
  scanned_ -= taken_;
  taken_ = 0;
  buffer_.append(bytes);
}

bool SseParser::idle() const {
  bool event_open = !yielded_ && (has_data_ || !type_.empty());
  return taken_ == buffer_.size() && !event_open;
}

// The next whole line without its break, or nullopt.
std::optional<std::string_view> SseParser::take_line() {
  if (at_start_) {
    // Two bytes may be the beginning of a mark; the rest decides.
    std::string_view front = std::string_view(buffer_).substr(0, kByteOrderMark.size());
    if (front.size() < kByteOrderMark.size() && kByteOrderMark.starts_with(front)) {
      return std::nullopt;
    }
    at_start_ = false;
    if (front == kByteOrderMark) taken_ = scanned_ = kByteOrderMark.size();
  }
  if (skip_lf_ && taken_ < buffer_.size()) {
    skip_lf_ = false;
    if (buffer_[taken_] == '\n') scanned_ = std::max(scanned_, ++taken_);
  }
  std::size_t end = buffer_.find('\n', scanned_);
  std::string_view seen = std::string_view(buffer_).substr(scanned_);
  if (end != std::string::npos) seen = seen.substr(0, end - scanned_);
  // A CR before that LF, or without any LF, ends a line too.
  if (std::size_t cr = seen.find('\r'); cr != std::string_view::npos) end = scanned_ + cr;
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  skip_lf_ = buffer_[end] == '\r';
  std::string_view line = std::string_view(buffer_).substr(taken_, end - taken_);
  taken_ = scanned_ = end + 1;
  return line;
}

// False when the event grew past its limit.
bool SseParser::take_field(std::string_view line) {
  std::size_t colon = line.find(':');
  std::string_view name = line.substr(0, colon);
  std::string_view value;
  if (colon != std::string_view::npos) value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    if (data_.size() + value.size() + 1 > limits_.event_bytes) return false;
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (name == "event") {
    type_ = value;
  } else if (name == "id") {
    if (value.find('\0') == std::string_view::npos) last_id_ = value;
  } else if (name == "retry") {
    if (auto wait = parse_retry(value)) retry_ = wait;
  }
  return true;
}

void SseParser::start_event() {
  type_.clear();
  data_.clear();
  has_data_ = false;
  yielded_ = false;
}

Result<const SseEvent*> SseParser::next() {
  if (yielded_) start_event();
  while (!failed_) {
    std::optional<std::string_view> line = take_line();
    std::size_t length = line ? line->size() : buffer_.size() - taken_;
    if (length > limits_.line_bytes) break;
    if (!line) return nullptr;
    if (!line->empty()) {
      if (!take_field(*line)) break;
      continue;
    }
    if (!has_data_) {  // an empty `data` line counts: it yields an event with empty data
      start_event();
      continue;
    }
    event_ = {type_.empty() ? std::string_view("message") : std::string_view(type_), data_,
              last_id_};
    yielded_ = true;
    return &event_;
  }
  failed_ = true;
  buffer_ = {};
  taken_ = scanned_ = 0;
  return fail(ErrorCode::upstream, "the event stream holds a line or event that is too long")
      .hint(fmt::format("the limits are {} a line and {} an event",
                        format_bytes(limits_.line_bytes), format_bytes(limits_.event_bytes)));
}

}  // namespace corral::net

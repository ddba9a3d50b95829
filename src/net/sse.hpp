// Reads a text/event-stream (WHATWG HTML, section 9.2 "Server-sent events") from bytes that come in
// pieces of any size. Pure: no sockets, no clock.
//
// Lines end in LF, CR or CRLF; a leading byte order mark and comments are skipped; several `data`
// lines are joined with LF; an event without data is not yielded. An event is yielded as soon as
// the line break of its closing empty line is in, so no token waits for the next one. An event that
// the end of the stream cuts off is dropped, as the standard says; `idle()` tells whether there was
// one. A line or event past its limit is an `upstream` error, and the parser stays in that error.
//
// Thread rule: one owner. Lifecycle: one parser a stream.
// Example:
//   parser.feed(bytes);
//   while (true) {
//     CORRAL_TRY(const SseEvent* event, parser.next());
//     if (event == nullptr) break;  // more bytes are needed
//     handle(event->data);
//   }
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::net {

struct SseEvent {
  std::string_view type;  // "message" unless the stream named another
  std::string_view data;
  std::string_view last_id;  // the last `id` so far; may be empty
};

struct SseLimits {
  std::size_t line_bytes = 4u << 20;
  std::size_t event_bytes = 16u << 20;  // all `data` lines of one event together
};

class SseParser {
 public:
  explicit SseParser(SseLimits limits = {}) : limits_(limits) {}

  // Takes the next bytes of the stream; they are copied.
  void feed(std::string_view bytes);
  // The next complete event, or nullptr when more bytes are needed. The event and its views are
  // valid until the next call of `next` or `feed`.
  Result<const SseEvent*> next();

  // Nothing of an unfinished event or line is held.
  bool idle() const;
  // The last valid `retry` field: how long the server wants a client to wait before it reconnects.
  std::optional<std::chrono::milliseconds> retry() const { return retry_; }

 private:
  std::optional<std::string_view> take_line();
  bool take_field(std::string_view line);
  void start_event();

  SseLimits limits_;
  std::string buffer_;  // bytes not yet taken begin at taken_
  std::size_t taken_ = 0;
  std::size_t scanned_ = 0;  // bytes before this hold no line break
  bool at_start_ = true;     // a byte order mark may come
  bool skip_lf_ = false;     // the last line ended in CR: an LF right after it belongs to it
  bool failed_ = false;
  bool yielded_ = false;  // event_ was handed out and is cleared by the next call
  bool has_data_ = false;
  std::string type_;
  std::string data_;
  std::string last_id_;
  std::optional<std::chrono::milliseconds> retry_;
  SseEvent event_;
};

}  // namespace corral::net

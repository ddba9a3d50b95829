// Cuts a byte stream of server-sent events into whole events, without copying those that arrive in
// one piece. Pure; source: WHATWG HTML, "Server-sent events" (events end with an empty line).
//
// Example: splitter.feed(bytes); while (auto event = splitter.next()) use(*event);
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::bindings::openai {

class EventSplitter {
 public:
  static constexpr std::size_t kLongestEvent = 16u << 20;

  // `bytes` must stay valid until next() returned nullopt. upstream: one event never ends.
  Result<void> feed(std::string_view bytes);
  // The next whole event with the empty line that ends it.
  std::optional<std::string_view> next();
  // Bytes of an event that has not ended yet.
  std::string_view rest() const { return held_; }

 private:
  std::string held_;        // an unfinished event from earlier bytes
  std::string joined_;      // that event once finished; backs the view given out
  std::string_view bytes_;  // what is left of the last feed
};

// The joined "data:" lines of one event, into `out`; false if it has none (a comment).
bool event_data(std::string_view event, std::string& out);

}  // namespace corral::bindings::openai

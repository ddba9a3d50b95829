#include "bindings/openai/event_splitter.hpp"

namespace corral::bindings::openai {
namespace {

// One past the end of the first event in `text`, or npos. `from` is where to begin looking for the
// line break before the empty line.
std::size_t event_end(std::string_view text, std::size_t from) {
  for (std::size_t at = text.find('\n', from); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    std::size_t next = at + 1;
    if (next < text.size() && text[next] == '\r') ++next;
    if (next < text.size() && text[next] == '\n') return next + 1;
  }
  return std::string_view::npos;
}

}  // namespace

Result<void> EventSplitter::feed(std::string_view bytes) {
  bytes_ = bytes;
  if (held_.size() + bytes.size() > kLongestEvent) {
    return fail(ErrorCode::upstream, "the backend sent an event that does not end");
  }
  return {};
}

std::optional<std::string_view> EventSplitter::next() {
  if (held_.empty()) {
    std::size_t end = event_end(bytes_, 0);
    if (end == std::string_view::npos) {
      held_.assign(bytes_);
      bytes_ = {};
      return std::nullopt;
    }
    auto event = bytes_.substr(0, end);
    bytes_.remove_prefix(end);
    return event;
  }
  std::size_t before = held_.size();
  held_.append(bytes_);
  std::size_t end = event_end(held_, before > 3 ? before - 3 : 0);
  if (end == std::string_view::npos) {
    bytes_ = {};
    return std::nullopt;
  }
  bytes_.remove_prefix(end - before);
  held_.resize(end);
  joined_.swap(held_);
  held_.clear();
  return std::string_view(joined_);
}

bool event_data(std::string_view event, std::string& out) {
  out.clear();
  bool any = false;
  while (!event.empty()) {
    std::size_t end = event.find('\n');
    std::string_view line = event.substr(0, end);
    event.remove_prefix(end == std::string_view::npos ? event.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (any) out += '\n';
    out.append(line);
    any = true;
  }
  return any;
}

}  // namespace corral::bindings::openai

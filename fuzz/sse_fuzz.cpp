// Event streams: however the bytes are cut, the same events come out, and none is lost or made up.
#include <cstdint>
#include <string>
#include <vector>

#include "bindings/openai/event_splitter.hpp"

namespace {

using corral::bindings::openai::event_data;
using corral::bindings::openai::EventSplitter;

struct Outcome {
  std::vector<std::string> events;
  std::string rest;
  bool operator==(const Outcome&) const = default;
};

void check(bool holds) {
  if (!holds) __builtin_trap();
}

Outcome split(std::string_view stream, std::size_t step) {
  Outcome result;
  EventSplitter splitter;
  while (!stream.empty()) {
    std::string piece(stream.substr(0, step));  // gone before the next one comes
    stream.remove_prefix(piece.size());
    check(splitter.feed(piece).has_value());
    while (auto event = splitter.next()) result.events.emplace_back(*event);
  }
  result.rest = splitter.rest();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  Outcome whole = split(stream, stream.size() + 1);
  std::string all;
  std::string payload;
  for (const auto& event : whole.events) {
    check(event.ends_with('\n'));
    event_data(event, payload);
    check(payload.size() <= event.size());
    all += event;
  }
  check(all + whole.rest == stream);
  check(split(stream, 1) == whole);
  check(split(stream, 1 + data[0]) == whole);
  return 0;
}

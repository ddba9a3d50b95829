// What a Redis server may say: the same replies come out however the bytes are cut, and nothing is
// larger or deeper than allowed. A value that came back may be a kept answer.
#include <cstdint>
#include <string>
#include <vector>

#include "gateway/kept_form.hpp"
#include "store/redis_protocol.hpp"

namespace {

using corral::store::RedisParser;
using corral::store::RedisReply;

constexpr std::size_t kLargest = 4096;

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void append(std::string& out, const RedisReply& reply, int depth) {
  check(depth < 16 && reply.text.size() <= kLargest);
  check(reply.elements.size() <= RedisParser::kMostElements);
  out += static_cast<char>('a' + static_cast<int>(reply.kind));
  out += reply.text + ";" + std::to_string(reply.integer) + "[";
  for (const auto& element : reply.elements) append(out, element, depth + 1);
  out += "]";
  auto kept = corral::gateway::unpack_answer(reply.text);
  if (kept) check(corral::gateway::pack_answer(kept->answer, kept->made) == reply.text);
}

// All replies as one text, and whether the bytes were refused.
std::string parsed(std::string_view bytes, std::size_t piece) {
  RedisParser parser(kLargest);
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    if (!parser.feed(bytes.substr(at, piece))) return out + "refused";
    for (;;) {
      auto reply = parser.next();
      if (!reply) return out + "refused";
      if (!*reply) break;
      append(out, **reply, 0);
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > kLargest) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  check(parsed(bytes, bytes.size() + 1) == parsed(bytes, 1u + data[0] % 16u));
  return 0;
}

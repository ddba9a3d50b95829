// Redis' wire protocol (RESP2, redis.io/docs/reference/protocol-spec): commands as bytes, replies
// out of bytes. Every byte of a reply is taken for hostile: its size, depth and number of elements
// are bounded. Pure.
//
// Thread rule: a parser belongs to one connection.
// Example:
//   RedisParser parser(1u << 20);
//   CORRAL_CHECK(parser.feed(bytes));
//   CORRAL_TRY(auto reply, parser.next());
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::store {

struct RedisReply {
  enum class Kind { nil, text, status, error, integer, array };
  Kind kind = Kind::nil;
  std::string text;  // of text, status and error
  std::int64_t integer = 0;
  std::vector<RedisReply> elements;
};

// Appends a command of `words`, which may hold any bytes.
void append_command(std::string& out, std::span<const std::string_view> words);

class RedisParser {
 public:
  static constexpr int kMostElements = 1024;

  explicit RedisParser(std::size_t largest_reply);
  ~RedisParser();
  RedisParser(const RedisParser&) = delete;

  // too_large: a reply grows past the limit. The parser is of no use after an error.
  Result<void> feed(std::string_view bytes);
  // The next whole reply, or nothing yet. upstream: that is no Redis.
  Result<std::optional<RedisReply>> next();

 private:
  struct Reader;
  std::size_t largest_reply_;
  std::size_t unfinished_ = 0;  // bytes fed since the last whole reply
  std::unique_ptr<Reader> reader_;
};

}  // namespace corral::store

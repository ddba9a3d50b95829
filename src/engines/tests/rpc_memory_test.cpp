// What an rpc-server says of its memory. That a real one says it is seen in tests/test_rpc.py.
#include "engines/rpc_memory.hpp"

#include <gtest/gtest.h>

namespace corral::engines::rpc_memory_test {
namespace {

std::string number(std::uint64_t value) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

TEST(RpcMemory, TheQuestionIsAHelloAndTheMemoryOfTheFirstDevice) {
  const std::string question = rpc_memory_question();
  EXPECT_EQ(question, "\x0e" + number(24) + std::string(24, '\0') + "\x0b" + number(4) +
                          std::string(4, '\0'));
}

TEST(RpcMemory, TheAnswerIsReadAsItComes) {
  const std::string answer =
      number(28) + std::string(28, '\x04') + number(16) + number(7ull << 30) + number(9ull << 32);
  for (std::size_t length = 0; length < answer.size(); ++length) {
    auto part = parse_rpc_memory(std::string_view(answer).substr(0, length));
    ASSERT_TRUE(part) << length;
    EXPECT_FALSE(*part) << length;
  }
  auto whole = parse_rpc_memory(answer);
  ASSERT_TRUE(whole && *whole);
  EXPECT_EQ(**whole, (RpcMemory{7ull << 30, 9ull << 32}));
}

TEST(RpcMemory, WhatIsNoSuchAnswerIsRefused) {
  for (const std::string& wrong :
       {number(0), number(257), number(~0ull), "HTTP/1.1 400 Bad Request\r\n\r\n" + number(0),
        number(4) + "abcd" + number(17) + std::string(40, 'x')}) {
    auto parsed = parse_rpc_memory(wrong);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, ErrorCode::upstream);
  }
}

}  // namespace
}  // namespace corral::engines::rpc_memory_test

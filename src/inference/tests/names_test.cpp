#include <gtest/gtest.h>

#include "inference/event.hpp"
#include "inference/request.hpp"

namespace corral::inference::names_test {
namespace {

// These words are on the wire and in metrics.
TEST(Names, OfOperationsAndFinishReasons) {
  EXPECT_EQ(to_string(Operation::chat), "chat");
  EXPECT_EQ(to_string(Operation::completion), "completion");
  EXPECT_EQ(to_string(Operation::embedding), "embedding");
  EXPECT_EQ(to_string(FinishReason::stop), "stop");
  EXPECT_EQ(to_string(FinishReason::length), "length");
  EXPECT_EQ(to_string(FinishReason::tool_calls), "tool_calls");
  EXPECT_EQ(to_string(FinishReason::content_filter), "content_filter");
}

}  // namespace
}  // namespace corral::inference::names_test

// A request body with a few top-level values replaced or added, as pieces: nothing is copied but
// what changed. Pure.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::bindings::openai {

struct BodyEdit {
  std::string_view key;
  std::string json;             // the new value
  bool only_if_absent = false;  // a value that is there stays; `null` counts as absent
};

class RewrittenBody {
 public:
  // `body` is a JSON object that peek() has validated, and outlives the result.
  static Result<RewrittenBody> make(std::string_view body, std::span<const BodyEdit> edits);

  RewrittenBody(RewrittenBody&&) = default;  // the strings of a deque stay where they are
  const std::vector<std::string_view>& parts() const { return parts_; }

 private:
  RewrittenBody() = default;
  std::deque<std::string> made_;
  std::vector<std::string_view> parts_;
};

}  // namespace corral::bindings::openai

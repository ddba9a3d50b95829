// A request body with a few top-level values replaced or added, as pieces: nothing is copied but
// what changed. Pure.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "inference/request.hpp"

namespace corral::bindings::openai {

struct BodyEdits {
  std::string model;             // empty: as it is
  bool force_stream = false;     // "stream": true
  bool include_usage = false;    // "stream_options": {..., "include_usage": true}
  bool return_progress = false;  // llama.cpp: prefill progress events
};

class RewrittenBody {
 public:
  RewrittenBody(const inference::Request& request, const BodyEdits& edits);
  RewrittenBody(const RewrittenBody&) = delete;
  RewrittenBody& operator=(const RewrittenBody&) = delete;
  const std::vector<std::string_view>& parts() const { return parts_; }

 private:
  std::deque<std::string> made_;  // owns what is new; addresses stay
  std::vector<std::string_view> parts_;
};

}  // namespace corral::bindings::openai

// The canonical stream of an answer: what every binding decodes to and every surface encodes from.
//
// Order: Started, then any number of deltas, one Finished a choice, UsageReport, end. A failure
// midway is not an event but the stream's error.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "inference/usage.hpp"

namespace corral::inference {

struct Started {
  std::string id;            // the backend's id of the answer
  std::int64_t created = 0;  // Unix seconds
  std::string fingerprint;   // the backend's build, or empty
};

enum class TextKind { content, reasoning, refusal };

struct TextDelta {
  unsigned choice = 0;
  TextKind kind = TextKind::content;
  std::string text;
};

struct ToolCallDelta {
  unsigned choice = 0;
  unsigned index = 0;     // which call of the answer
  std::string id;         // in the first delta of a call
  std::string name;       // in the first delta of a call
  std::string arguments;  // a further piece of the JSON text
};

struct TokenLogprob {
  std::string token;
  double logprob = 0;
  std::vector<unsigned char> bytes;  // the token's UTF-8, which may be half a character
  std::vector<TokenLogprob> top;     // alternatives, likeliest first
};

struct LogprobsDelta {
  unsigned choice = 0;
  std::vector<TokenLogprob> tokens;
};

enum class FinishReason { stop, length, tool_calls, content_filter };
std::string_view to_string(FinishReason reason);

struct Finished {
  unsigned choice = 0;
  FinishReason reason = FinishReason::stop;
};

struct UsageReport {
  Usage usage;
};

using Event = std::variant<Started, TextDelta, ToolCallDelta, LogprobsDelta, Finished, UsageReport>;

}  // namespace corral::inference

// One chunk of an OpenAI event stream -> canonical events. Pure.
//
// Reads what OpenAI, llama.cpp and vLLM send: delta.content, reasoning_content or reasoning,
// refusal, tool_calls, logprobs, finish_reason, usage, timings; text and logprobs of
// /v1/completions.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "inference/event.hpp"

namespace corral::bindings::openai {

struct ChunkState {
  bool started = false;
};

// Appends the events of `data` (the payload of one SSE event). An {"error": ...} payload is
// returned as Error; JSON that is none, or a wrong shape, is an `upstream` error.
Result<void> decode_chunk(std::string_view data, ChunkState& state,
                          std::vector<inference::Event>& out);

// usage and timings of a chunk or a whole document, if there are any.
bool read_usage(std::string_view document, inference::Usage& usage);

}  // namespace corral::bindings::openai

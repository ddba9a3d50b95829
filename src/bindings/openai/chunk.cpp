#include "bindings/openai/chunk.hpp"

#include <boost/json.hpp>

#include "base/json.hpp"
#include "bindings/openai/upstream_error.hpp"

namespace corral::bindings::openai {
namespace {

namespace bj = boost::json;
using namespace inference;

const bj::value* member(const bj::object& object, std::string_view key) {
  const auto* value = object.if_contains(bj::string_view(key.data(), key.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string text_member(const bj::object& object, std::string_view key) {
  const auto* value = member(object, key);
  if (value == nullptr || !value->is_string()) return {};
  return std::string(value->get_string().data(), value->get_string().size());
}

std::uint64_t count_member(const bj::object& object, std::string_view key) {
  const auto* value = member(object, key);
  if (value == nullptr) return 0;
  if (value->is_uint64()) return value->get_uint64();
  return value->is_int64() && value->get_int64() > 0
             ? static_cast<std::uint64_t>(value->get_int64())
             : 0;
}

const bj::object* object_member(const bj::object& object, std::string_view key) {
  const auto* value = member(object, key);
  return value == nullptr ? nullptr : value->if_object();
}

const bj::array* array_member(const bj::object& object, std::string_view key) {
  const auto* value = member(object, key);
  return value == nullptr ? nullptr : value->if_array();
}

void take_usage(const bj::object& root, Usage& usage) {
  if (const auto* report = object_member(root, "usage")) {
    usage.prompt_tokens = count_member(*report, "prompt_tokens");
    usage.completion_tokens = count_member(*report, "completion_tokens");
    if (const auto* details = object_member(*report, "prompt_tokens_details")) {
      usage.cached_tokens = count_member(*details, "cached_tokens");
    }
    usage.reported = true;
  }
  if (const auto* timings = object_member(root, "timings")) {
    usage.backend_timings = json::serialize(*timings);
    // Timings may come with every chunk, and count up; a usage beside them is the better word.
    if (object_member(root, "usage") == nullptr) {
      usage.cached_tokens = count_member(*timings, "cache_n");
      usage.prompt_tokens = usage.cached_tokens + count_member(*timings, "prompt_n");
      usage.completion_tokens = count_member(*timings, "predicted_n");
      usage.reported = true;
    }
  }
}

TokenLogprob decode_logprob(const bj::object& entry) {
  TokenLogprob result;
  result.token = text_member(entry, "token");
  if (const auto* number = member(entry, "logprob")) {
    bj::error_code ignored;
    result.logprob = number->to_number<double>(ignored);
  }
  if (const auto* bytes = array_member(entry, "bytes")) {
    for (const auto& byte : *bytes) {
      if (byte.is_int64()) result.bytes.push_back(static_cast<unsigned char>(byte.get_int64()));
    }
  }
  if (const auto* top = array_member(entry, "top_logprobs")) {
    for (const auto& item : *top) {
      if (const auto* object = item.if_object()) result.top.push_back(decode_logprob(*object));
    }
  }
  return result;
}

void decode_logprobs(const bj::object& choice, unsigned index, std::vector<Event>& out) {
  const auto* logprobs = object_member(choice, "logprobs");
  if (logprobs == nullptr) return;
  const auto* content = array_member(*logprobs, "content");
  if (content == nullptr || content->empty()) return;
  LogprobsDelta delta{index, {}};
  for (const auto& item : *content) {
    if (const auto* object = item.if_object()) delta.tokens.push_back(decode_logprob(*object));
  }
  out.emplace_back(std::move(delta));
}

void decode_tool_calls(const bj::object& delta, unsigned index, std::vector<Event>& out) {
  const auto* calls = array_member(delta, "tool_calls");
  if (calls == nullptr) return;
  for (const auto& item : *calls) {
    const auto* call = item.if_object();
    if (call == nullptr) continue;
    ToolCallDelta event;
    event.choice = index;
    event.index = static_cast<unsigned>(count_member(*call, "index"));
    event.id = text_member(*call, "id");
    if (const auto* function = object_member(*call, "function")) {
      event.name = text_member(*function, "name");
      event.arguments = text_member(*function, "arguments");
    }
    out.emplace_back(std::move(event));
  }
}

void decode_text(const bj::object& object, std::string_view key, unsigned index, TextKind kind,
                 std::vector<Event>& out) {
  std::string text = text_member(object, key);
  if (!text.empty()) out.emplace_back(TextDelta{index, kind, std::move(text)});
}

FinishReason finish_reason(std::string_view text) {
  if (text == "length") return FinishReason::length;
  if (text == "tool_calls" || text == "function_call") return FinishReason::tool_calls;
  if (text == "content_filter") return FinishReason::content_filter;
  return FinishReason::stop;
}

void decode_choice(const bj::object& choice, std::vector<Event>& out) {
  auto index = static_cast<unsigned>(count_member(choice, "index"));
  if (const auto* delta = object_member(choice, "delta")) {
    decode_text(*delta, "reasoning_content", index, TextKind::reasoning, out);
    decode_text(*delta, "reasoning", index, TextKind::reasoning, out);
    decode_text(*delta, "content", index, TextKind::content, out);
    decode_text(*delta, "refusal", index, TextKind::refusal, out);
    decode_tool_calls(*delta, index, out);
  } else {
    decode_text(choice, "text", index, TextKind::content, out);
  }
  decode_logprobs(choice, index, out);
  std::string reason = text_member(choice, "finish_reason");
  if (!reason.empty()) out.emplace_back(Finished{index, finish_reason(reason)});
}

}  // namespace

Result<void> decode_chunk(std::string_view data, ChunkState& state, std::vector<Event>& out) {
  auto parsed = json::parse(data);
  const bj::object* root = parsed ? parsed->if_object() : nullptr;
  if (root == nullptr) {
    return fail(ErrorCode::upstream, "the backend sent an event that is not a JSON object");
  }
  if (member(*root, "error") != nullptr) return std::unexpected(error_from_payload(data, 500));
  if (!state.started) {
    state.started = true;
    out.emplace_back(Started{text_member(*root, "id"),
                             static_cast<std::int64_t>(count_member(*root, "created")),
                             text_member(*root, "system_fingerprint")});
  }
  if (const auto* choices = array_member(*root, "choices")) {
    for (const auto& item : *choices) {
      if (const auto* choice = item.if_object()) decode_choice(*choice, out);
    }
  }
  Usage usage;
  take_usage(*root, usage);
  if (usage.reported) out.emplace_back(UsageReport{std::move(usage)});
  return {};
}

bool read_usage(std::string_view document, Usage& usage) {
  auto parsed = json::parse(document);
  const bj::object* root = parsed ? parsed->if_object() : nullptr;
  if (root == nullptr) return false;
  take_usage(*root, usage);
  return usage.reported;
}

}  // namespace corral::bindings::openai

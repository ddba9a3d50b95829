#include "bindings/openai/upstream_error.hpp"

#include <fmt/core.h>
#include <boost/json.hpp>

#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::bindings::openai {
namespace {

namespace bj = boost::json;
constexpr std::size_t kLongestMessage = 2000;

std::string text_of(const bj::value* value) {
  if (value == nullptr || !value->is_string()) return {};
  auto text = std::string_view(value->get_string().data(), value->get_string().size());
  if (text.size() <= kLongestMessage) return std::string(text);
  std::size_t size = kLongestMessage;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return std::string(text.substr(0, size));  // not within a character
}

std::int64_t number_of(const bj::value* value) {
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

ErrorCode code_of(int status) {
  switch (status) {
    case 400:
    case 422: return ErrorCode::invalid_argument;
    case 404: return ErrorCode::not_found;
    case 408:
    case 504: return ErrorCode::timeout;
    case 409: return ErrorCode::conflict;
    case 413: return ErrorCode::too_large;
    case 429: return ErrorCode::rate_limited;
    case 501: return ErrorCode::unsupported;
    case 503: return ErrorCode::unavailable;
    default: return ErrorCode::upstream;
  }
}

// llama.cpp names both lengths in fields of their own; put them where a person reads them.
std::string context_message(std::int64_t prompt, std::int64_t context) {
  return fmt::format("the prompt has {} tokens, but the context of this model is {} tokens here",
                     prompt, context);
}

// The number that follows `mark`; 0 when there is none.
std::int64_t number_after(std::string_view text, std::string_view mark) {
  const auto at = text.find(mark);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + mark.size());
  const auto number = parse_int(text.substr(0, text.find_first_not_of("0123456789")));
  return number ? *number : 0;
}

// An input to embed or rank must fit one step; llama.cpp calls a longer one a failure of its own:
// "input (3003 tokens) is too large to process. increase the physical batch size (current batch
// size: 512)".
void mend_too_large_input(Error& error) {
  if (!error.message.contains(" is too large to process")) return;
  const std::int64_t input = number_after(error.message, "input (");
  const std::int64_t most = number_after(error.message, "batch size: ");
  if (input <= 0 || most <= 0) return;
  error.code = ErrorCode::invalid_argument;
  error.message = fmt::format(
      "the input has {} tokens, but the context of this model is {} tokens here", input, most);
  error.param = "input";
  error.hint_text = "send it in smaller pieces, or raise the model's context setting";
}

}  // namespace

Error error_from_payload(std::string_view payload, int status) {
  Error error = fail(code_of(status), "");
  auto parsed = json::parse(payload);
  const bj::object* root = parsed ? parsed->if_object() : nullptr;
  if (root != nullptr) {
    const bj::value* value = root->if_contains("error");
    const bj::object* details = value != nullptr ? value->if_object() : nullptr;
    if (details != nullptr) {
      error.message = text_of(details->if_contains("message"));
      error.param = text_of(details->if_contains("param"));
      std::int64_t prompt = number_of(details->if_contains("n_prompt_tokens"));
      std::int64_t context = number_of(details->if_contains("n_ctx"));
      if (prompt > 0 && context > 0) {
        error.code = ErrorCode::invalid_argument;
        error.message = context_message(prompt, context);
        error.param = "messages";
        error.hint_text = "shorten the conversation, or raise the model's context setting";
      }
    } else {
      error.message = text_of(value);
    }
    if (error.message.empty()) error.message = text_of(root->if_contains("detail"));
    if (error.message.empty()) error.message = text_of(root->if_contains("message"));
  }
  if (error.message.empty()) {
    error.message = fmt::format("the backend answered with status {}", status);
  }
  mend_too_large_input(error);
  error.cause = fmt::format("backend status {}", status);
  error.peer_status = status;
  return error;
}

}  // namespace corral::bindings::openai

#include "bindings/openai/answer.hpp"

#include "bindings/openai/upstream_error.hpp"
#include "bindings/openai/usage_scan.hpp"

namespace corral::bindings::openai {
namespace {

constexpr std::uint64_t kLargestDocument = 256u << 20;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Does this event carry text or a tool call? Cheap, for the moment of the first token only.
bool carries_token(std::string_view event) {
  for (std::string_view key : {R"("content":")", R"("reasoning_content":")", R"("reasoning":")",
                               R"("text":")", R"("arguments":")"}) {
    auto at = event.find(key);
    if (at != std::string_view::npos && at + key.size() < event.size() &&
        event[at + key.size()] != '"') {
      return true;
    }
  }
  return contains(event, R"("tool_calls":[)");
}

}  // namespace

StreamAnswer::StreamAnswer(std::unique_ptr<net::ClientResponse> response, StreamOptions options)
    : response_(std::move(response)), options_(options) {}

net::Task<Result<bool>> StreamAnswer::read_more() {
  auto bytes = co_await response_->read_some();
  if (!bytes) co_return std::unexpected(std::move(bytes).error());
  if (bytes->empty()) co_return false;
  CORRAL_CO_CHECK(splitter_.feed(*bytes));
  co_return true;
}

StreamAnswer::Verdict StreamAnswer::inspect(std::string_view event) {
  if (event.starts_with("data: [DONE]") || event.starts_with("data:[DONE]")) {
    done_ = true;
    return Verdict::forward;
  }
  if (options_.hide_progress && contains(event, R"("prompt_progress":{)")) return Verdict::drop;
  if (!first_token_at_ && carries_token(event)) first_token_at_ = std::chrono::steady_clock::now();
  if (!usage_.reported && first_token_at_) ++usage_.completion_tokens;
  if (contains(event, R"("usage":{)") || contains(event, R"("timings":{)")) {
    if (event_data(event, data_)) read_usage(data_, usage_);
  }
  if (event.starts_with(R"(data: {"error")") || event.starts_with(R"(data:{"error")")) {
    if (event_data(event, data_)) failure_ = error_from_payload(data_, 500);
    return Verdict::fail;
  }
  return Verdict::forward;
}

Error StreamAnswer::ended_early() const {
  return fail(ErrorCode::upstream, "the backend stopped in the middle of its answer")
      .hint("send the request again");
}

net::Task<Result<std::string_view>> StreamAnswer::next_bytes() {
  out_.clear();
  if (failure_) co_return std::unexpected(*failure_);
  if (done_) co_return std::string_view{};
  while (out_.empty()) {
    auto more = co_await read_more();
    if (!more) co_return std::unexpected(std::move(more).error());
    if (!*more) co_return std::unexpected(ended_early());
    while (auto event = splitter_.next()) {
      Verdict verdict = inspect(*event);
      if (verdict == Verdict::forward) out_.append(*event);
      if (verdict == Verdict::fail) break;
    }
    if (failure_ && out_.empty()) co_return std::unexpected(*failure_);
  }
  co_return std::string_view(out_);
}

net::Task<Result<std::optional<inference::Event>>> StreamAnswer::next_event() {
  while (events_.empty()) {
    if (done_) co_return std::optional<inference::Event>{};
    auto more = co_await read_more();
    if (!more) co_return std::unexpected(std::move(more).error());
    if (!*more) co_return std::unexpected(ended_early());
    while (auto event = splitter_.next()) {
      Verdict verdict = inspect(*event);
      if (verdict == Verdict::fail) co_return std::unexpected(*failure_);
      if (done_ || verdict == Verdict::drop || !event_data(*event, data_)) continue;
      decoded_.clear();
      CORRAL_CO_CHECK(decode_chunk(data_, chunk_state_, decoded_));
      for (auto& item : decoded_) events_.push_back(std::move(item));
    }
  }
  std::optional<inference::Event> event(std::move(events_.front()));
  events_.pop_front();
  co_return event;
}

DocumentAnswer::DocumentAnswer(std::unique_ptr<net::ClientResponse> response)
    : response_(std::move(response)) {}

net::Task<Result<std::string_view>> DocumentAnswer::next_bytes() {
  if (given_) co_return std::string_view{};
  auto document = co_await response_->read_all(kLargestDocument);
  if (!document) co_return std::unexpected(std::move(document).error());
  given_ = true;
  document_ = std::move(*document);
  if (document_.empty())
    co_return std::unexpected(fail(ErrorCode::upstream, "the backend's answer is empty"));
  first_token_at_ = std::chrono::steady_clock::now();
  scan_usage(document_, usage_);
  co_return std::string_view(document_);
}

net::Task<Result<std::optional<inference::Event>>> DocumentAnswer::next_event() {
  co_return std::unexpected(fail(ErrorCode::internal, "a document is relayed, not decoded"));
}

}  // namespace corral::bindings::openai

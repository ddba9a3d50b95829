#include "bindings/openai/answer.hpp"

#include "bindings/openai/body_fields.hpp"
#include "bindings/openai/upstream_error.hpp"
#include "bindings/openai/usage_scan.hpp"

namespace corral::bindings::openai {
namespace {

constexpr std::uint64_t kLargestDocument = 256u << 20;

// Behind the colon of the first `key` (with its quotes) in `event`, spaces skipped; empty if it is
// not there. Inside a JSON string the quotes would be escaped, so a text cannot pass for a key; a
// text that is the key's name and nothing else has no colon behind it.
std::string_view value_of(std::string_view event, std::string_view key) {
  for (auto at = event.find(key); at != std::string_view::npos; at = event.find(key, at)) {
    at = event.find_first_not_of(" \t", at + key.size());
    if (at == std::string_view::npos) break;
    if (event[at] != ':') continue;
    at = event.find_first_not_of(" \t", at + 1);
    return at == std::string_view::npos ? std::string_view{} : event.substr(at);
  }
  return {};
}

// The JSON string that `value` begins with, quotes included; empty if it is none.
std::string_view string_at(std::string_view value) {
  if (!value.starts_with('"')) return {};
  for (std::size_t i = 1; i < value.size(); ++i) {
    if (value[i] == '\\') {
      ++i;
    } else if (value[i] == '"') {
      return value.substr(0, i + 1);
    }
  }
  return {};
}

// Does this event carry text or a tool call? Cheap: the event is not parsed.
bool carries_token(std::string_view event) {
  for (std::string_view key : {R"("content")", R"("reasoning_content")", R"("reasoning")",
                               R"("text")", R"("arguments")"}) {
    auto value = value_of(event, key);
    if (value.size() > 1 && value[0] == '"' && value[1] != '"') return true;
  }
  return value_of(event, R"("tool_calls")").starts_with('[');
}

// The first data line of an event, which may stand behind comments and other fields.
std::string_view first_data(std::string_view event) {
  while (!event.starts_with("data:")) {
    auto end = event.find('\n');
    if (end == std::string_view::npos) return {};
    event.remove_prefix(end + 1);
  }
  event.remove_prefix(event.starts_with("data: ") ? 6 : 5);
  return event;
}

bool is_error(std::string_view data) {
  return data.starts_with(R"({"error")") && !value_of(data, R"("error")").starts_with("null");
}

}  // namespace

StreamAnswer::StreamAnswer(std::unique_ptr<net::ClientResponse> response, StreamOptions options)
    : response_(std::move(response)), options_(options) {}

net::Task<Result<bool>> StreamAnswer::read_more() {
  auto bytes = co_await response_->read_some();
  if (!bytes) {
    Error error = std::move(bytes).error();
    if (error.code == ErrorCode::timeout) {
      error.message = "no token came in time within the answer (between_tokens_timeout)";
      error.param.clear();
    }
    co_return std::unexpected(std::move(error));
  }
  if (bytes->empty()) co_return false;
  CORRAL_CO_CHECK(splitter_.feed(*bytes));
  co_return true;
}

StreamAnswer::Verdict StreamAnswer::inspect(std::string_view event) {
  std::string_view data = first_data(event);
  if (data.starts_with("[DONE]")) {
    done_ = true;
    return Verdict::forward;
  }
  if (options_.hide_progress && value_of(data, R"("prompt_progress")").starts_with('{')) {
    return Verdict::drop;
  }
  if ((!usage_.reported || !first_token_at_) && carries_token(data)) {
    if (!first_token_at_) first_token_at_ = std::chrono::steady_clock::now();
    if (!usage_.reported) ++usage_.completion_tokens;
  }
  if (value_of(data, R"("usage")").starts_with('{') ||
      value_of(data, R"("timings")").starts_with('{')) {
    if (event_data(event, data_)) read_usage(data_, usage_);
  }
  if (is_error(data)) {
    if (event_data(event, data_)) failure_ = error_from_payload(data_, 500);
    return Verdict::fail;
  }
  return Verdict::forward;
}

Error StreamAnswer::ended_early() const {
  return fail(ErrorCode::upstream, "the backend stopped in the middle of its answer")
      .hint("send the request again");
}

// The client asked for a public name, and gets that back.
void StreamAnswer::forward(std::string_view event) {
  std::string_view name;
  if (!options_.public_model.empty()) name = string_at(value_of(event, R"("model")"));
  if (name.empty()) {
    out_.append(event);
    return;
  }
  auto at = static_cast<std::size_t>(name.data() - event.data());
  out_.append(event.substr(0, at)).append(options_.public_model);
  out_.append(event.substr(at + name.size()));
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
      if (verdict == Verdict::forward) forward(*event);
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

DocumentAnswer::DocumentAnswer(std::unique_ptr<net::ClientResponse> response,
                               std::string public_model)
    : response_(std::move(response)), public_model_(std::move(public_model)) {}

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
  if (!public_model_.empty()) {
    constexpr std::string_view kModel[] = {"model"};
    auto found = find_fields(document_, kModel);
    if (!found) {
      co_return std::unexpected(fail(ErrorCode::upstream, "the backend's answer is not JSON"));
    }
    const auto& place = found->places.front();
    if (place.present()) document_.replace(place.begin, place.size, public_model_);
  }
  co_return std::string_view(document_);
}

net::Task<Result<std::optional<inference::Event>>> DocumentAnswer::next_event() {
  co_return std::unexpected(fail(ErrorCode::internal, "a document is relayed, not decoded"));
}

}  // namespace corral::bindings::openai

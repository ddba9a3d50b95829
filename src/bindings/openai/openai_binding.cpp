#include "bindings/openai/openai_binding.hpp"

#include "base/json.hpp"
#include "base/time_text.hpp"
#include "bindings/openai/answer.hpp"
#include "bindings/openai/rewrite.hpp"
#include "bindings/openai/upstream_error.hpp"

namespace corral::bindings::openai {
namespace {

constexpr std::uint64_t kLargestRefusal = 1u << 20;

std::string_view path_of(inference::Operation operation) {
  switch (operation) {
    case inference::Operation::chat: return "/v1/chat/completions";
    case inference::Operation::completion: return "/v1/completions";
    case inference::Operation::embedding: return "/v1/embeddings";
  }
  return "/";
}

// People write an endpoint's address as clients want it, with /v1 at the end; both forms are meant.
std::string_view path_at(const net::HttpTarget& target, inference::Operation operation) {
  constexpr std::string_view kVersion = "/v1";
  std::string_view path = path_of(operation);
  if (target.base_path.ends_with(kVersion)) path.remove_prefix(kVersion.size());
  return path;
}

// Prefill progress that we ask for and the client did not.
bool adds_progress(const inference::Request& request, const Quirks& quirks, bool stream) {
  return stream && quirks.prefill_progress && !request.wants_progress;
}

std::vector<BodyEdit> edits_for(const inference::Request& request, const Quirks& quirks,
                                bool stream) {
  std::vector<BodyEdit> edits;
  if (request.backend_model != request.model.str()) {
    edits.push_back({"model", json::quoted(request.backend_model)});
  }
  if (stream && !request.stream) {
    edits.push_back({"stream", "true"});
    // An answer that is put together here needs the usage, which only then comes in the stream.
    if (!request.usage_in_stream) {
      edits.push_back({"stream_options", R"({"include_usage":true})"});
    }
  }
  if (adds_progress(request, quirks, stream)) edits.push_back({"return_progress", "true"});
  if (request.defaults != nullptr) {
    for (const auto& [name, value] : *request.defaults) edits.push_back({name, value, true});
  }
  return edits;
}

net::HttpTimeouts http_timeouts(const CallTimeouts& timeouts) {
  return {timeouts.connect, timeouts.first_token, timeouts.between_tokens};
}

bool is_event_stream(const net::ClientResponse& response) {
  auto type = response.headers().get("content-type");
  return type && type->starts_with("text/event-stream");
}

}  // namespace

net::Task<Result<std::unique_ptr<Answer>>> OpenAiBinding::open(const EndpointAddress& address,
                                                               const inference::Request& request,
                                                               CallTimeouts timeouts) const {
  bool is_text = request.operation != inference::Operation::embedding;
  bool stream = is_text && (request.stream || quirks_.always_stream);
  CORRAL_CO_TRY(auto body, RewrittenBody::make(request.body, edits_for(request, quirks_, stream)));

  net::Headers headers;
  headers.add("content-type", "application/json");
  headers.add("accept", stream ? "text/event-stream" : "application/json");
  headers.add("x-request-id", request.request_id);
  if (!address.api_key.empty()) headers.add("authorization", "Bearer " + address.api_key);

  net::ClientRequest call;
  call.method = "POST";
  call.path = path_at(address.target, request.operation);
  call.headers = &headers;
  call.body = body.parts();
  call.event_stream = stream;
  auto response = co_await net::shard_client().send(address.target, call, http_timeouts(timeouts));
  if (!response) co_return std::unexpected(std::move(response).error());

  int status = (*response)->status();
  if (status != 200) {
    auto pause = (*response)->headers().get("retry-after");
    auto now = std::chrono::system_clock::now();
    auto retry_after = pause ? parse_retry_after(*pause, now) : std::nullopt;
    auto refusal = co_await (*response)->read_all(kLargestRefusal);
    Error error = error_from_payload(refusal ? *refusal : std::string{}, status);
    error.retry_after = retry_after;
    co_return std::unexpected(std::move(error));
  }
  if (stream != is_event_stream(**response)) {
    co_return std::unexpected(
        fail(ErrorCode::upstream,
             stream ? "the backend did not stream its answer" : "the backend streamed its answer"));
  }
  std::unique_ptr<Answer> answer;
  if (stream) {
    StreamOptions options{request.stream, adds_progress(request, quirks_, stream)};
    answer = std::make_unique<StreamAnswer>(std::move(*response), options);
  } else {
    answer = std::make_unique<DocumentAnswer>(std::move(*response));
  }
  co_return answer;
}

}  // namespace corral::bindings::openai

#include "bindings/openai/openai_binding.hpp"

#include <fmt/core.h>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "base/text.hpp"
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
std::string_view path_at(const net::HttpTarget& target, std::string_view path) {
  constexpr std::string_view kVersion = "/v1";
  if (path.starts_with(kVersion) && target.base_path.ends_with(kVersion))
    path.remove_prefix(kVersion.size());
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

// Says which of our limits a timeout was.
Error named(Error error, const CallTimeouts& timeouts) {
  if (error.code != ErrorCode::timeout) return error;
  if (error.param == net::kConnectTimeout) {
    error.message += fmt::format(" (connect_timeout, {})", format_duration(timeouts.connect));
  } else if (error.param == net::kFirstByteTimeout) {
    error.message = fmt::format("the first token did not come within {} (first_token_timeout)",
                                format_duration(timeouts.first_token));
  }
  error.param.clear();
  return error;
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
  call.path = path_at(address.target, path_of(request.operation));
  call.headers = &headers;
  call.body = body.parts();
  call.event_stream = stream;
  auto response = co_await net::shard_client().send(address.target, call, http_timeouts(timeouts));
  if (!response) co_return std::unexpected(named(std::move(response).error(), timeouts));

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
  std::string public_model;
  if (request.backend_model != request.model.str()) {
    public_model = json::quoted(request.model.str());
  }
  std::unique_ptr<Answer> answer;
  if (stream) {
    StreamOptions options{request.stream, adds_progress(request, quirks_, stream),
                          std::move(public_model)};
    answer = std::make_unique<StreamAnswer>(std::move(*response), options);
  } else {
    answer = std::make_unique<DocumentAnswer>(std::move(*response), std::move(public_model));
  }
  co_return answer;
}

net::Task<Result<void>> OpenAiBinding::probe(const EndpointAddress& address,
                                             std::chrono::milliseconds timeout) const {
  net::Headers headers;
  headers.add("accept", "application/json");
  if (!address.api_key.empty()) headers.add("authorization", "Bearer " + address.api_key);
  net::ClientRequest call;
  call.path = path_at(address.target, quirks_.probe_path);
  call.headers = &headers;
  net::HttpTimeouts timeouts{timeout, timeout, timeout};
  auto response = co_await net::shard_client().send(address.target, call, timeouts);
  if (!response) co_return std::unexpected(std::move(response).error());
  int status = (*response)->status();
  auto body = co_await (*response)->read_all(kLargestRefusal);
  if (!body) co_return std::unexpected(std::move(body).error());
  // A server without this path is there all the same; one that refuses our key is of no use.
  bool well = status < 500 && status != 401 && status != 403;
  if (well) co_return Result<void>();
  co_return std::unexpected(error_from_payload(*body, status));
}

net::Task<Result<void>> OpenAiBinding::validate(const EndpointAddress& address, std::string model,
                                                CallTimeouts timeouts) const {
  std::string body =
      R"({"model":)" + json::quoted(model) +
      R"(,"messages":[{"role":"user","content":"Hello"}],"max_tokens":1,"stream":false})";
  inference::Request request;
  request.model = ModelName(model);
  request.backend_model = std::move(model);
  request.request_id = "corral-validation";
  request.body = body;
  auto answer = co_await open(address, request, timeouts);
  if (!answer) {
    // A model that does no chat says so, which shows that it is well enough.
    auto code = answer.error().code;
    if (code == ErrorCode::invalid_argument || code == ErrorCode::unsupported) {
      co_return Result<void>();
    }
    co_return std::unexpected(std::move(answer).error());
  }
  if ((*answer)->relayable()) {
    CORRAL_CO_TRY(auto document, co_await (*answer)->next_bytes());
    if (json::parse(document)) co_return Result<void>();
    co_return std::unexpected(fail(ErrorCode::upstream, "the backend's answer is not JSON"));
  }
  for (;;) {
    CORRAL_CO_TRY(auto event, co_await (*answer)->next_event());
    if (!event) co_return Result<void>();
  }
}

}  // namespace corral::bindings::openai

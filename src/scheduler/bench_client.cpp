#include "scheduler/bench_client.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <random>

#include "base/json.hpp"
#include "net/http_client.hpp"
#include "net/sse.hpp"

namespace corral::scheduler {
namespace {

namespace bj = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kLargestAnswer = 64u << 20;
constexpr std::size_t kShownOfError = 300;
constexpr std::uint64_t kUnknownVocabulary = 256;

net::HttpTimeouts within(std::chrono::milliseconds limit) {
  net::HttpTimeouts out;
  out.first_byte = out.between_bytes = std::max(limit, std::chrono::milliseconds(1));
  return out;
}

std::string body_of(const BenchAsk& ask) {
  bj::array tokens;
  tokens.reserve(ask.prompt.size());
  for (std::uint32_t token : ask.prompt) tokens.emplace_back(token);
  if (ask.purpose == engines::Purpose::embedding) {
    return json::serialize(bj::value(bj::object{{"input", std::move(tokens)}}));
  }
  return json::serialize(bj::value(bj::object{{"prompt", std::move(tokens)},
                                              {"n_predict", ask.generate},
                                              {"ignore_eos", true},
                                              {"cache_prompt", false},
                                              {"seed", 1},
                                              {"stream", true}}));
}

double number_in(const bj::object* from, const char* name) {
  const bj::value* found = from == nullptr ? nullptr : from->if_contains(name);
  if (found == nullptr || !found->is_number()) return 0;
  const double number = found->to_number<double>();
  return number > 0 && number < 1e15 ? number : 0;
}

std::uint64_t count_in(const bj::object* from, const char* name) {
  return static_cast<std::uint64_t>(number_in(from, name));
}

Error refused(int status, std::string_view body) {
  std::string text(body.substr(0, kShownOfError));
  if (auto document = json::parse(body); document && document->is_object()) {
    const auto* error = document->get_object().if_contains("error");
    const auto* message = error != nullptr && error->is_object()
                              ? error->get_object().if_contains("message")
                              : nullptr;
    if (message != nullptr && message->is_string()) text = std::string(message->get_string());
  }
  return fail(ErrorCode::upstream, fmt::format("the engine answered {}: {}", status, text));
}

// Takes the events of a streamed completion.
class Stream {
 public:
  explicit Stream(sys::Steady began) : began_(began) {}

  Result<void> take(std::string_view bytes) {
    parser_.feed(bytes);
    for (;;) {
      CORRAL_TRY(const net::SseEvent* event, parser_.next());
      if (event == nullptr) return {};
      if (event->data == "[DONE]") continue;
      if (sample.first.count() == 0) sample.first = Clock::now() - began_;
      CORRAL_TRY(auto document, json::parse(event->data));
      CORRAL_CHECK(read(document));
    }
  }
  bool ended() const { return ended_; }

  // Who reads late sees the first token together with those after it; it left the engine no later
  // than the time before the end that the engine says it generated for.
  void close() {
    using Seconds = std::chrono::duration<double>;
    sample.ended = Clock::now() - began_;
    sample.first = std::clamp(sample.ended - generating_, Seconds(0), sample.first);
  }

  models::BenchSample sample;
  std::uint64_t cached = 0;

 private:
  Result<void> read(const bj::value& document) {
    const bj::object* object = document.if_object();
    if (object == nullptr) return {};
    if (object->contains("error")) return refused(200, json::serialize(document));
    const bj::value* stop = object->if_contains("stop");
    if (stop == nullptr || !stop->is_bool() || !stop->get_bool()) return {};
    const bj::value* found = object->if_contains("timings");
    const bj::object* timings = found == nullptr ? nullptr : found->if_object();
    sample.prompt = count_in(timings, "prompt_n");
    sample.generated = count_in(timings, "predicted_n");
    cached = count_in(timings, "cache_n");
    generating_ = std::chrono::duration<double, std::milli>(number_in(timings, "predicted_ms"));
    ended_ = true;
    return {};
  }

  sys::Steady began_;
  std::chrono::duration<double> generating_{0};
  net::SseParser parser_;
  bool ended_ = false;
};

net::Task<Result<models::BenchSample>> read_stream(std::unique_ptr<net::ClientResponse> answer,
                                                   std::size_t length, sys::Steady began) {
  Stream stream(began);
  for (;;) {
    CORRAL_CO_TRY(auto bytes, co_await answer->read_some());
    if (bytes.empty()) break;
    CORRAL_CO_CHECK(stream.take(bytes));
    if (stream.ended()) break;
  }
  stream.close();
  if (!stream.ended()) {
    co_return fail(ErrorCode::upstream, "the engine ended its answer early");
  }
  // Else a cache would have been measured.
  if (stream.sample.prompt != length || stream.cached > 0) {
    co_return fail(ErrorCode::upstream,
                   fmt::format("the engine computed {} of {} tokens of the prompt",
                               stream.sample.prompt, length));
  }
  co_return stream.sample;
}

}  // namespace

std::vector<std::uint32_t> bench_prompt(std::uint64_t vocabulary, unsigned length,
                                        std::uint64_t seed) {
  if (vocabulary < 8) vocabulary = kUnknownVocabulary;
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::uint64_t> token(vocabulary / 4, vocabulary / 4 * 3);
  std::vector<std::uint32_t> out;
  out.reserve(length);
  for (unsigned i = 0; i < length; ++i) out.push_back(static_cast<std::uint32_t>(token(random)));
  return out;
}

net::Task<Result<models::BenchSample>> ask_engine(bindings::EndpointAddress at, BenchAsk ask,
                                                  sys::Steady began,
                                                  std::chrono::milliseconds limit) {
  const bool chat = ask.purpose == engines::Purpose::chat;
  const std::string body = body_of(ask);
  const std::string_view parts[] = {body};
  net::Headers headers;
  headers.add("content-type", "application/json");
  headers.add("authorization", "Bearer " + at.api_key);
  net::ClientRequest request;
  request.method = "POST";
  request.path = chat ? "/completion" : "/v1/embeddings";
  request.headers = &headers;
  request.body = parts;
  request.event_stream = chat;
  const auto asked = Clock::now() - began;
  CORRAL_CO_TRY(auto answer, co_await net::shard_client().send(at.target, request, within(limit)));
  if (chat && answer->status() == 200) {
    CORRAL_CO_TRY(auto sample, co_await read_stream(std::move(answer), ask.prompt.size(), began));
    sample.begun = asked;
    co_return sample;
  }
  CORRAL_CO_TRY(auto text, co_await answer->read_all(kLargestAnswer));
  if (answer->status() != 200) co_return refused(answer->status(), text);
  models::BenchSample sample;
  sample.begun = asked;
  sample.first = sample.ended = Clock::now() - began;
  sample.prompt = ask.prompt.size();
  co_return sample;
}

net::Task<std::string> engine_build(bindings::EndpointAddress at) {
  constexpr std::chrono::seconds kPatience{5};
  net::Headers headers;
  headers.add("authorization", "Bearer " + at.api_key);
  net::ClientRequest request;
  request.path = "/props";
  request.headers = &headers;
  auto answer = co_await net::shard_client().send(at.target, request, within(kPatience));
  if (!answer) co_return std::string();
  auto text = co_await (*answer)->read_all(kLargestAnswer);
  auto document = text ? json::parse(*text) : std::unexpected(text.error());
  if (!document || !document->is_object()) co_return std::string();
  const auto* build = document->get_object().if_contains("build_info");
  if (build == nullptr || !build->is_string()) co_return std::string();
  co_return std::string(build->get_string());
}

}  // namespace corral::scheduler

// Answers over a response that is played by hand, and the binding against a server of our own.
#include "bindings/openai/answer.hpp"

#include <gtest/gtest.h>

#include "base/json.hpp"
#include "bindings/openai/peek.hpp"
#include "net/tests/test_support.hpp"

namespace corral::bindings::openai {
namespace {

using namespace inference;
using net::testing::Loops;

// Gives out its pieces one read each; then the end, or the error.
class PlayedResponse final : public net::ClientResponse {
 public:
  explicit PlayedResponse(std::vector<std::string> pieces, std::optional<Error> error = {})
      : pieces_(std::move(pieces)), error_(std::move(error)) {}

  int status() const override { return 200; }
  const net::Headers& headers() const override { return headers_; }
  net::Task<Result<std::string_view>> read_some() override {
    current_.assign(current_.size(), '#');  // what was given before is no longer valid
    if (at_ < pieces_.size()) {
      current_ = pieces_[at_++];
      co_return std::string_view(current_);
    }
    if (error_) co_return std::unexpected(*error_);
    co_return std::string_view{};
  }
  net::Task<Result<std::string>> read_all(std::uint64_t limit) override {
    if (error_) co_return std::unexpected(*error_);
    std::string all;
    for (const auto& piece : pieces_) all += piece;
    if (all.size() > limit) co_return std::unexpected(fail(ErrorCode::too_large, "too large"));
    co_return all;
  }

 private:
  std::vector<std::string> pieces_;
  std::optional<Error> error_;
  std::size_t at_ = 0;
  std::string current_;
  net::Headers headers_;
};

// All that an answer gave, and how it ended.
struct Relayed {
  std::vector<std::string> pieces;
  std::optional<Error> error;
  std::string all() const {
    std::string out;
    for (const auto& piece : pieces) out += piece;
    return out;
  }
};

net::Task<Relayed> relay(Answer& answer) {
  Relayed result;
  for (;;) {
    auto piece = co_await answer.next_bytes();
    if (!piece) {
      result.error = piece.error();
      co_return result;
    }
    if (piece->empty()) co_return result;
    result.pieces.emplace_back(*piece);
  }
}

struct Decoded {
  std::vector<Event> events;
  std::optional<Error> error;
};

net::Task<Decoded> decode(Answer& answer) {
  Decoded result;
  for (;;) {
    auto event = co_await answer.next_event();
    if (!event) {
      result.error = event.error();
      co_return result;
    }
    if (!*event) co_return result;
    result.events.push_back(std::move(**event));
  }
}

class AnswerTest : public testing::Test {
 protected:
  StreamAnswer stream(std::vector<std::string> pieces, StreamOptions options = {},
                      std::optional<Error> error = {}) {
    return {std::make_unique<PlayedResponse>(std::move(pieces), std::move(error)), options};
  }
  Relayed relay_all(Answer& answer) {
    return loops_.run(loops_.shards().serving(0), relay(answer));
  }
  Decoded decode_all(Answer& answer) {
    return loops_.run(loops_.shards().serving(0), decode(answer));
  }

  Loops loops_;
};

std::string token(std::string_view text) {
  return R"(data: {"id":"c","created":5,"choices":[{"index":0,"delta":{"content":)" +
         json::quoted(text) + "}}]}\n\n";
}
const std::string kRole =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n";
const std::string kProgress =
    "data: {\"choices\":[],\"prompt_progress\":{\"total\":9,\"processed\":3}}\n\n";
const std::string kFinish =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const std::string kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":42}}\n\n";
const std::string kDone = "data: [DONE]\n\n";

TEST_F(AnswerTest, RelaysWholeEventsAsTheyCome) {
  std::string two = token("a") + token("b");
  auto answer = stream({kRole, two.substr(0, 30), two.substr(30), kFinish + kDone});
  EXPECT_TRUE(answer.relayable());
  auto relayed = relay_all(answer);
  EXPECT_FALSE(relayed.error);
  EXPECT_EQ(relayed.pieces, (std::vector<std::string>{kRole, two, kFinish + kDone}));
  EXPECT_EQ(answer.usage().completion_tokens, 2u);
  EXPECT_FALSE(answer.usage().reported);
  EXPECT_TRUE(answer.first_token_at());
}

TEST_F(AnswerTest, FirstTokenIsTheFirstWithText) {
  auto silent = stream({kRole, kFinish, kDone});
  relay_all(silent);
  EXPECT_FALSE(silent.first_token_at());
  EXPECT_EQ(silent.usage().completion_tokens, 0u);
  for (std::string_view event :
       {R"(data: {"choices":[{"delta":{"reasoning_content":"x"}}]})",
        R"(data: {"choices":[{"delta":{"content" : "x"}}]})",
        R"(data: {"choices":[{"text": "\""}]})",
        R"(data: {"choices":[{"delta":{"tool_calls": [{}]}}]})",
        R"(data: {"choices":[{"delta":{"content":null,"reasoning":"x"}}]})"}) {
    auto answer = stream({std::string(event) + "\n\n", kDone});
    relay_all(answer);
    EXPECT_TRUE(answer.first_token_at()) << event;
    EXPECT_EQ(answer.usage().completion_tokens, 1u) << event;
  }
}

TEST_F(AnswerTest, ReportedUsageReplacesTheCount) {
  for (const std::string& usage :
       {kUsage,
        std::string("data: {\"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 42}}\n\n")}) {
    auto answer = stream({token("a"), token("b"), usage, token("late"), kDone});
    relay_all(answer);
    EXPECT_TRUE(answer.usage().reported);
    EXPECT_EQ(answer.usage().completion_tokens, 42u);
    EXPECT_EQ(answer.usage().prompt_tokens, 7u);
  }
}

TEST_F(AnswerTest, HidesProgressOnlyWhenItAskedForIt) {
  auto hidden = stream({kProgress, kProgress + token("a"), kDone}, {true, true});
  EXPECT_EQ(relay_all(hidden).all(), token("a") + kDone);
  auto shown = stream({kProgress, token("a"), kDone}, {true, false});
  EXPECT_EQ(relay_all(shown).all(), kProgress + token("a") + kDone);
  // A text about it is not it.
  std::string talk = token("\"prompt_progress\":{");
  auto quoted = stream({talk, kDone}, {true, true});
  EXPECT_EQ(relay_all(quoted).all(), talk + kDone);
}

TEST_F(AnswerTest, EndingEarlyIsAnError) {
  for (const std::string& last : {std::string(), token("b"), token("b").substr(0, 20), kFinish}) {
    auto answer = stream({token("a"), last.empty() ? token("x") : last});
    auto relayed = relay_all(answer);
    ASSERT_TRUE(relayed.error);
    EXPECT_EQ(relayed.error->code, ErrorCode::upstream);
    EXPECT_TRUE(relayed.all().starts_with(token("a")));
    EXPECT_FALSE(relayed.all().ends_with(token("b").substr(0, 20)));  // never half an event
    auto decoded = stream({token("a"), last.empty() ? token("x") : last});
    EXPECT_EQ(decode_all(decoded).error->code, ErrorCode::upstream);
  }
  auto nothing = stream({});
  EXPECT_EQ(relay_all(nothing).error->code, ErrorCode::upstream);
}

TEST_F(AnswerTest, ReadErrorsPass) {
  auto answer = stream({token("a")}, {}, fail(ErrorCode::timeout, "silent"));
  auto relayed = relay_all(answer);
  EXPECT_EQ(relayed.all(), token("a"));
  EXPECT_EQ(relayed.error->code, ErrorCode::timeout);
  auto events = stream({token("a")}, {}, fail(ErrorCode::cancelled, "left"));
  EXPECT_EQ(decode_all(events).error->code, ErrorCode::cancelled);
}

TEST_F(AnswerTest, AnErrorEventEndsTheAnswer) {
  for (std::string_view data : {R"(data: {"error":{"message":"broke","code":500}})",
                                R"(data:{"error": {"message":"broke"}})",
                                "event: error\ndata: {\"error\":{\"message\":\"broke\"}}"}) {
    std::string event = std::string(data) + "\n\n";
    // In one read with a good event before and one after: the good one goes out, the rest does not.
    auto answer = stream({token("a") + event + token("b"), kDone});
    auto relayed = relay_all(answer);
    EXPECT_EQ(relayed.all(), token("a")) << event;
    ASSERT_TRUE(relayed.error);
    EXPECT_EQ(relayed.error->message, "broke");
    auto alone = stream({event});
    EXPECT_EQ(relay_all(alone).error->message, "broke");
    auto decoded = stream({token("a"), event});
    auto events = decode_all(decoded);
    EXPECT_EQ(events.error->message, "broke");
    EXPECT_EQ(events.events.size(), 2u);
  }
  std::string null_error = "data: {\"error\":null,\"choices\":[]}\n\n";
  auto fine = stream({null_error, kDone});
  EXPECT_EQ(relay_all(fine).all(), null_error + kDone);
}

TEST_F(AnswerTest, DoneIsSeenBehindCommentsAndWithoutSpace) {
  for (const char* done : {"data:[DONE]\n\n", ": bye\ndata: [DONE]\n\n", "data: [DONE]\r\n\r\n"}) {
    auto answer = stream({token("a"), done});
    EXPECT_FALSE(relay_all(answer).error) << done;
  }
  // A text that says so is not the end.
  auto talk = stream({token("data: [DONE]")});
  EXPECT_TRUE(relay_all(talk).error);
}

TEST_F(AnswerTest, DecodesEvents) {
  auto answer =
      stream({": ping\n\n" + kProgress + token("a") + kFinish, kUsage + kDone}, {false, true});
  EXPECT_FALSE(answer.relayable());
  auto decoded = decode_all(answer);
  EXPECT_FALSE(decoded.error);
  ASSERT_EQ(decoded.events.size(), 4u);
  EXPECT_EQ(std::get<Started>(decoded.events[0]).created, 5);
  EXPECT_EQ(std::get<TextDelta>(decoded.events[1]).text, "a");
  EXPECT_EQ(std::get<Finished>(decoded.events[2]).reason, FinishReason::stop);
  EXPECT_EQ(std::get<UsageReport>(decoded.events[3]).usage.completion_tokens, 42u);
  EXPECT_EQ(answer.usage().completion_tokens, 42u);
}

TEST_F(AnswerTest, RubbishInTheStreamIsAnUpstreamError) {
  auto answer = stream({"data: {oops\n\n"});
  EXPECT_EQ(decode_all(answer).error->code, ErrorCode::upstream);
}

TEST_F(AnswerTest, Document) {
  DocumentAnswer answer(std::make_unique<PlayedResponse>(
      std::vector<std::string>{R"({"data":[],"usa)", R"(ge":{"prompt_tokens":3}})"}));
  EXPECT_TRUE(answer.relayable());
  EXPECT_FALSE(answer.first_token_at());
  auto relayed = relay_all(answer);
  EXPECT_EQ(relayed.all(), R"({"data":[],"usage":{"prompt_tokens":3}})");
  EXPECT_EQ(answer.usage().prompt_tokens, 3u);
  EXPECT_TRUE(answer.first_token_at());
  EXPECT_EQ(decode_all(answer).error->code, ErrorCode::internal);

  DocumentAnswer empty(std::make_unique<PlayedResponse>(std::vector<std::string>{}));
  EXPECT_EQ(relay_all(empty).error->code, ErrorCode::upstream);
  DocumentAnswer cut(std::make_unique<PlayedResponse>(std::vector<std::string>{"{"},
                                                      fail(ErrorCode::upstream, "cut")));
  EXPECT_EQ(relay_all(cut).error->message, "cut");
}

// A backend that notes the request and answers what it was told to.
class BindingTest : public testing::Test {
 protected:
  BindingTest() {
    server_ = std::make_unique<net::HttpServer>(
        loops_.shards(), net::HttpServerOptions{},
        [this](net::HttpExchange& exchange) { return answer(this, exchange); },
        [](const net::HttpRequest&, const net::HttpOutcome&) {});
    auto bound = server_->listen("127.0.0.1", 0);
    EXPECT_TRUE(bound);
    address_.target.host = "127.0.0.1";
    address_.target.port = bound->port;
    server_->start();
  }
  ~BindingTest() override {
    loops_.run(loops_.shards().control(), server_->stop(std::chrono::milliseconds(0)));
    loops_.end();
  }

  static net::Task<void> answer(BindingTest* test, net::HttpExchange& exchange) {
    auto body = co_await exchange.read_body();
    if (!body) co_return;
    test->path_ = exchange.request().target;
    test->body_ = *body;
    for (std::string name : {"authorization", "accept", "x-request-id"}) {
      test->headers_[name] = exchange.request().headers.get(name).value_or("(none)");
    }
    net::HttpReply reply;
    reply.status = test->status_;
    reply.content_type = test->type_;
    reply.body = test->reply_;
    (void)co_await exchange.reply(std::move(reply));
  }

  static net::Task<Relayed> open(const Binding* binding, EndpointAddress address, Request request) {
    auto answer = co_await binding->open(address, request, {});
    if (!answer) co_return Relayed{{}, answer.error()};
    co_return co_await relay(**answer);
  }
  Relayed call(std::string_view kind, Operation operation, std::string_view body,
               std::string backend_model = "m") {
    auto request = peek(operation, body);
    EXPECT_TRUE(request);
    request->backend_model = std::move(backend_model);
    request->request_id = "r-1";
    return loops_.run(loops_.shards().serving(0), open(set_.find(kind), address_, *request));
  }

  Loops loops_;
  BindingSet set_;
  std::unique_ptr<net::HttpServer> server_;
  EndpointAddress address_;
  int status_ = 200;
  std::string type_ = "text/event-stream";
  std::string reply_ = token("a") + kDone;
  std::string path_, body_;
  std::map<std::string, std::string> headers_;
};

constexpr std::string_view kChat = R"({"model":"m","messages":[{"role":"user","content":"x"}]})";
constexpr std::string_view kStream =
    R"({"model":"m","messages":[{"role":"user","content":"x"}],"stream":true})";

TEST_F(BindingTest, AStreamIsRelayedUnchanged) {
  address_.api_key = "secret";
  EXPECT_EQ(call("openai", Operation::chat, kStream).all(), token("a") + kDone);
  EXPECT_EQ(path_, "/v1/chat/completions");
  EXPECT_EQ(body_, kStream);
  EXPECT_EQ(headers_["authorization"], "Bearer secret");
  EXPECT_EQ(headers_["accept"], "text/event-stream");
  EXPECT_EQ(headers_["x-request-id"], "r-1");
}

TEST_F(BindingTest, LlamaCppIsAskedForAStreamWithProgress) {
  call("llamacpp", Operation::chat, kChat, "other");
  for (auto part : {R"("model":"other")", R"("stream":true)", R"("return_progress":true)",
                    R"("stream_options":{"include_usage":true})"}) {
    EXPECT_TRUE(body_.contains(part)) << body_;
  }
  EXPECT_EQ(headers_["authorization"], "(none)");
  call("llamacpp", Operation::chat, kStream);
  EXPECT_TRUE(body_.contains(R"("return_progress":true)"));
  EXPECT_FALSE(body_.contains("stream_options"));
}

TEST_F(BindingTest, DocumentsAreRelayedWhole) {
  type_ = "application/json";
  reply_ = R"({"data":[]})";
  EXPECT_EQ(call("llamacpp", Operation::embedding, R"({"model":"m","input":"x"})").all(), reply_);
  EXPECT_EQ(path_, "/v1/embeddings");
  EXPECT_EQ(headers_["accept"], "application/json");
  EXPECT_EQ(call("openai", Operation::completion, R"({"model":"m","prompt":"x"})").all(), reply_);
  EXPECT_EQ(path_, "/v1/completions");
}

TEST_F(BindingTest, RefusalsKeepTheirMeaning) {
  status_ = 429;
  type_ = "application/json";
  reply_ = R"({"error":{"message":"slow down"}})";
  auto refused = call("openai", Operation::chat, kChat);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, ErrorCode::rate_limited);
  EXPECT_EQ(refused.error->message, "slow down");
}

TEST_F(BindingTest, TheWrongFramingIsAnUpstreamError) {
  type_ = "application/json";
  EXPECT_EQ(call("openai", Operation::chat, kStream).error->code, ErrorCode::upstream);
  type_ = "text/event-stream";
  EXPECT_EQ(call("openai", Operation::chat, kChat).error->code, ErrorCode::upstream);
}

TEST_F(BindingTest, NobodyThereIsUnavailable) {
  address_.target.port = 1;
  EXPECT_EQ(call("openai", Operation::chat, kChat).error->code, ErrorCode::unavailable);
}

TEST(BindingSet, KnowsItsKinds) {
  BindingSet set;
  EXPECT_EQ(set.kinds(), (std::vector<std::string>{"openai", "llamacpp"}));
  for (const auto& kind : set.kinds()) EXPECT_EQ(set.find(kind)->kind(), kind);
  EXPECT_EQ(set.find("ollama"), nullptr);
}

}  // namespace
}  // namespace corral::bindings::openai

// The binding against a server of our own: what it asks, and what it makes of the answers.
#include "bindings/binding.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "base/json.hpp"
#include "bindings/openai/peek.hpp"
#include "bindings/prompt.hpp"
#include "bindings/tests/played.hpp"

namespace corral::bindings::openai::binding_test {
namespace {

using namespace std::chrono_literals;
using net::testing::Loops;

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
    ++test->asked_;
    for (std::string name : {"authorization", "accept", "x-request-id"}) {
      test->headers_[name] = exchange.request().headers.get(name).value_or("(none)");
    }
    net::HttpReply reply;
    reply.status = test->status_;
    reply.content_type = test->type_;
    reply.body = test->reply_;
    if (!test->retry_after_.empty()) reply.headers.set("retry-after", test->retry_after_);
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

  // The coroutines borrow what they are given, so it lives here.
  Result<void> probe(std::string_view kind = "openai") {
    return loops_.run(loops_.shards().serving(0), set_.find(kind)->probe(address_, 5s));
  }
  Result<void> validate(std::string_view kind = "openai", std::string model = "a \"model\"") {
    return loops_.run(loops_.shards().serving(0),
                      set_.find(kind)->validate(address_, std::move(model), {}));
  }

  Loops loops_;
  BindingSet set_;
  std::unique_ptr<net::HttpServer> server_;
  EndpointAddress address_;
  int status_ = 200;
  std::string type_ = "text/event-stream";
  std::string reply_ = token("a") + kDone;
  std::string retry_after_;
  int asked_ = 0;
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

TEST_F(BindingTest, RetryAfterOfARefusalIsKept) {
  type_ = "application/json";
  reply_ = R"({"error":{"message":"slow down"}})";
  for (int status : {429, 503}) {
    status_ = status;
    retry_after_ = "17";
    auto refused = call("openai", Operation::chat, kChat);
    ASSERT_TRUE(refused.error);
    EXPECT_EQ(refused.error->retry_after, 17s) << status;
    EXPECT_EQ(refused.error->peer_status, status);
    retry_after_ = "Thu, 01 Jan 1970 00:00:00 GMT";  // long past: now
    EXPECT_EQ(call("openai", Operation::chat, kChat).error->retry_after.value_or(0s), 0s);
    for (auto nonsense : {"soon", "-5", "1.5"}) {
      retry_after_ = nonsense;
      EXPECT_FALSE(call("openai", Operation::chat, kChat).error->retry_after) << nonsense;
    }
  }
  retry_after_.clear();
  EXPECT_FALSE(call("openai", Operation::chat, kChat).error->retry_after);
}

TEST_F(BindingTest, AnotherNameAtTheBackendIsNotSeenByTheClient) {
  std::string event = R"(data: {"choices":[{"index":0,"delta":{"content":"model"}}],"model":"b"})";
  reply_ = event + "\n\n" + kDone;
  auto relayed = call("openai", Operation::chat, kStream, "b").all();
  EXPECT_TRUE(relayed.contains(R"("content":"model")")) << relayed;
  EXPECT_TRUE(relayed.contains(R"("model":"m")")) << relayed;
  EXPECT_FALSE(relayed.contains(R"("model":"b")")) << relayed;
  EXPECT_TRUE(body_.contains(R"("model":"b")")) << body_;
  type_ = "application/json";
  reply_ = R"({"id":"x","model":"b","choices":[],"usage":{}})";
  EXPECT_EQ(call("openai", Operation::chat, kChat, "b").all(),
            R"({"id":"x","model":"m","choices":[],"usage":{}})");
}

TEST_F(BindingTest, AProbeAsksForTheModels) {
  type_ = "application/json";
  reply_ = "{}";
  address_.api_key = "secret";
  EXPECT_TRUE(probe());
  EXPECT_EQ(path_, "/v1/models");
  EXPECT_EQ(body_, "");
  EXPECT_EQ(headers_["authorization"], "Bearer secret");
  EXPECT_TRUE(probe("llamacpp"));
  // An address that ends in /v1 is not given it twice.
  address_.target.base_path = "/proxy/v1";
  EXPECT_TRUE(probe());
  EXPECT_EQ(path_, "/proxy/v1/models");
}

TEST_F(BindingTest, AProbeFailsWhereNothingCanBeAnswered) {
  type_ = "application/json";
  reply_ = R"({"error":{"message":"out of order"}})";
  for (int status : {401, 403, 500, 502, 503}) {
    status_ = status;
    auto checked = probe();
    ASSERT_FALSE(checked) << status;
    EXPECT_EQ(checked.error().message, "out of order");
    EXPECT_EQ(checked.error().peer_status, status);
  }
  for (int status : {200, 404, 405, 429}) {  // there is somebody, whatever is said
    status_ = status;
    EXPECT_TRUE(probe()) << status;
  }
  address_.target.port = 1;
  EXPECT_EQ(probe().error().code, ErrorCode::unavailable);
}

TEST_F(BindingTest, ValidationIsARequestOfOneToken) {
  type_ = "application/json";
  reply_ = R"({"choices":[]})";
  auto checked = validate();
  EXPECT_TRUE(checked) << checked.error().describe();
  EXPECT_EQ(path_, "/v1/chat/completions");
  auto body = json::parse(body_);
  ASSERT_TRUE(body) << body_;
  EXPECT_EQ(body->at("model"), "a \"model\"");
  EXPECT_EQ(body->at("max_tokens"), 1);
  EXPECT_EQ(body->at("messages").as_array().size(), 1u);
  reply_ = "rubbish";
  EXPECT_EQ(validate().error().code, ErrorCode::upstream);
  reply_ = "";
  EXPECT_EQ(validate().error().code, ErrorCode::upstream);
}

TEST_F(BindingTest, ValidationReadsAStreamToItsEnd) {
  reply_ = token("a") + kUsage + kDone;
  auto checked = validate("llamacpp");
  EXPECT_TRUE(checked) << checked.error().describe();
  EXPECT_TRUE(body_.contains(R"("stream":true)")) << body_;
  reply_ = token("a");  // and no end
  EXPECT_EQ(validate("llamacpp").error().code, ErrorCode::upstream);
  reply_ = "data: {\"error\":{\"message\":\"broke\"}}\n\n";
  EXPECT_EQ(validate("llamacpp").error().message, "broke");
}

TEST_F(BindingTest, ValidationFailsButForModelsThatDoNoChat) {
  type_ = "application/json";
  reply_ = R"({"error":{"message":"no"}})";
  for (int status : {400, 422, 501}) {
    status_ = status;
    EXPECT_TRUE(validate()) << status;
  }
  for (int status : {401, 404, 429, 500, 503}) {
    status_ = status;
    EXPECT_FALSE(validate()) << status;
  }
  address_.target.port = 1;
  EXPECT_EQ(validate().error().code, ErrorCode::unavailable);
}

TEST(PromptOf, IsThePartThatACacheGoesBy) {
  auto prompt = [](std::string_view body) {
    Request request;
    request.body = body;
    return std::string(prompt_of(request));
  };
  EXPECT_EQ(prompt(R"({"model":"m","messages":[{"role":"user","content":"x"}],"seed":1})"),
            R"([{"role":"user","content":"x"}])");
  EXPECT_EQ(prompt(R"({"prompt": "once" ,"model":"m"})"), R"("once")");
  EXPECT_EQ(prompt(R"({"input":["a","b"]})"), R"(["a","b"])");
  EXPECT_EQ(prompt(R"({"input":"i","messages":[],"prompt":"p"})"), "[]");  // in this order
  EXPECT_EQ(prompt(R"({"model":"m"})"), R"({"model":"m"})");
  EXPECT_EQ(prompt("rubbish"), "rubbish");
  EXPECT_EQ(prompt(""), "");
  // What stands before the prompt does not count.
  EXPECT_EQ(prompt(R"({"user":"a","messages":[1]})"), prompt(R"({"user":"b","messages":[1]})"));
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
}  // namespace corral::bindings::openai::binding_test

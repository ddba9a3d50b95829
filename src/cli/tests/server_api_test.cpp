#include "cli/server_api.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "cli/tests/fakes.hpp"

namespace corral::cli::server_api_test {
namespace {

class ServerApiTest : public ::testing::Test {
 protected:
  FakeServer server;
  FakeWire wire{server};
  ServerApi api{wire};

  Outcome<ChatEnd> chat(std::string& text, std::string* reasoning = nullptr) {
    return api.stream_chat({{"model", "m"}}, [&](const ChatPiece& piece) {
      text += piece.content;
      if (reasoning != nullptr) *reasoning += piece.reasoning;
    });
  }
};

constexpr auto kChat = "POST /v1/chat/completions";

TEST_F(ServerApiTest, CallsTheRoutes) {
  server.on("GET /admin/v1/models", {.body = R"({"models":[]})"});
  server.on("GET /admin/v1/models/a%2Fb%20c%3A7", {.body = "{}"});
  server.on("POST /admin/v1/models/m/load", {.body = "{\"a\":1}"});
  server.on("POST /admin/v1/models/m/unload", {.body = "{\"b\":1}"});
  server.on("GET /admin/v1/instances", {.body = "{\"c\":1}"});
  EXPECT_EQ(*api.models(), R"({"models":[]})");
  EXPECT_EQ(*api.model("a/b c:7"), "{}");
  EXPECT_EQ(*api.load("m"), "{\"a\":1}");
  EXPECT_EQ(*api.unload("m"), "{\"b\":1}");
  EXPECT_EQ(*api.instances(), "{\"c\":1}");
}

TEST_F(ServerApiTest, ANameNeverLeavesItsPathSegment) {
  EXPECT_EQ(encode_segment(".."), "%2E%2E");
  EXPECT_EQ(encode_segment("."), "%2E");
  EXPECT_EQ(encode_segment("a/../b?c#d%\r\n"), "a%2F..%2Fb%3Fc%23d%25%0D%0A");
  EXPECT_EQ(encode_segment("\xC3\xA4"), "%C3%A4");
  EXPECT_EQ(encode_segment("Az09-._~"), "Az09-._~");
}

TEST_F(ServerApiTest, ProblemDocuments) {
  Failure found = failure_of({404, "application/problem+json",
                              R"({"title":"Not found","status":404,"detail":"no model \"x\"",
                                 "hint":"did you mean y?"})"},
                             "S");
  EXPECT_EQ(found.exit, ExitCode::not_found);
  EXPECT_EQ(found.message, "no model \"x\"");
  EXPECT_EQ(found.hint, "did you mean y?");
  Failure title = failure_of({409, "", R"({"title":"Conflict"})"}, "S");
  EXPECT_EQ(title.exit, ExitCode::failed);
  EXPECT_EQ(title.message, "Conflict");
}

TEST_F(ServerApiTest, OpenAiErrors) {
  Failure found = failure_of({400, "", R"({"error":{"message":"bad\nthing","type":"t"}})"}, "S");
  EXPECT_EQ(found.exit, ExitCode::failed);
  EXPECT_EQ(found.message, "bad thing");
  EXPECT_EQ(failure_of({500, "", R"({"error":"plain"})"}, "S").message, "plain");
}

TEST_F(ServerApiTest, OtherErrorAnswers) {
  Failure other = failure_of({404, "text/html", "<html>"}, "http://h");
  EXPECT_EQ(other.exit, ExitCode::failed);  // not our 404: some other server
  EXPECT_EQ(other.message, "http://h answered with status 404");
  EXPECT_NE(other.hint.find("Corral server"), std::string::npos);
  Failure key = failure_of({401, "", R"({"error":{"message":"no key"}})"}, "S");
  EXPECT_NE(key.hint.find("CORRAL_API_KEY"), std::string::npos);
  EXPECT_LE(
      failure_of({500, "", R"({"error":")" + std::string(9000, 'x') + R"("})"}, "S").message.size(),
      500u);
}

TEST_F(ServerApiTest, AnAnswerThatIsNotJsonIsAFailure) {
  server.on("GET /admin/v1/models", {.body = "<html>"});
  auto models = api.models();
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().exit, ExitCode::failed);
  EXPECT_NE(models.error().message.find("something else than JSON"), std::string::npos);
}

TEST_F(ServerApiTest, FailuresOfTheWirePassThrough) {
  server.on("GET /admin/v1/models",
            {.failure = Failure{ExitCode::unreachable, "no server answers", "start it"}});
  auto models = api.models();
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().exit, ExitCode::unreachable);
}

TEST_F(ServerApiTest, StreamsPiecesAsTheyCome) {
  std::string all = chat_event("Hel") + chat_event("lo") +
                    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n"
                    ": ping\n\ndata: {\"choices\":[]}\n\n" +
                    kStop + kDone;
  for (std::size_t cut : {1u, 20u, 90u}) {
    server.replies.clear();
    server.on(kChat, {.stream = {all.substr(0, cut), all.substr(cut)}});
    std::string text, reasoning;
    auto end = chat(text, &reasoning);
    ASSERT_TRUE(end) << end.error().message;
    EXPECT_EQ(text, "Hello");
    EXPECT_EQ(reasoning, "hm");
    EXPECT_EQ(end->finish_reason, "stop");
  }
  EXPECT_TRUE(server.seen.back().event_stream);
  auto sent = corral::json::parse(server.seen.back().body);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->at("stream"), true);
}

TEST_F(ServerApiTest, ReadsNothingAfterDone) {
  server.on(kChat, {.stream = {chat_event("a") + kDone + chat_event("b"), chat_event("c")}});
  std::string text;
  ASSERT_TRUE(chat(text));
  EXPECT_EQ(text, "a");
}

TEST_F(ServerApiTest, AnErrorEventEndsTheAnswer) {
  server.on(kChat,
            {.stream = {chat_event("a"), "data: {\"error\":{\"message\":\"engine died\"}}\n\n",
                        chat_event("b")}});
  std::string text;
  auto end = chat(text);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().message, "engine died");
  EXPECT_EQ(text, "a");
}

TEST_F(ServerApiTest, BrokenStreams) {
  std::string text;
  server.on(kChat, {.stream = {"data: {oops\n\n"}});
  EXPECT_NE(chat(text).error().message.find("not JSON"), std::string::npos);
  server.replies.clear();
  server.on(kChat, {.stream = {chat_event("a")}});
  EXPECT_EQ(chat(text).error().message, "the answer was cut short");
  server.replies.clear();
  server.on(kChat, {.stream = {"data: " + std::string(5u << 20, 'x')}});
  EXPECT_NE(chat(text).error().message.find("too long"), std::string::npos);
  server.replies.clear();
  server.on(kChat, {.stream = {"data: {\"error\":{}}\n\n"}});
  EXPECT_EQ(chat(text).error().message, "the answer failed midway");
}

TEST_F(ServerApiTest, ShapesThatNobodyPromisedAreSurvived) {
  for (std::string body :
       {"null", "[]", "1", "{\"choices\":{}}", "{\"choices\":[1]}",
        "{\"choices\":[{\"delta\":[]}]}", "{\"choices\":[{\"delta\":{\"content\":5}}]}"}) {
    server.replies.clear();
    server.on(kChat, {.stream = {"data: " + body + "\n\n" + kDone}});
    std::string text;
    EXPECT_TRUE(chat(text)) << body;
    EXPECT_EQ(text, "");
  }
}

TEST_F(ServerApiTest, ARefusedChatIsAFailure) {
  server.on(kChat, {.status = 503, .body = R"({"error":{"message":"busy"}})"});
  std::string text;
  auto end = chat(text);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().message, "busy");
}

}  // namespace
}  // namespace corral::cli::server_api_test

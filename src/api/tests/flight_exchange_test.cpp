#include "api/openai/flight_exchange.hpp"

#include <gtest/gtest.h>

#include "gateway/answer_key.hpp"
#include "net/tests/test_support.hpp"
#include "net/websocket.hpp"

namespace corral::api::openai::flight_exchange_test {
namespace {

using gateway::AnswerReader;
using net::testing::Loops;

constexpr std::string_view kEvent = "data: {\"x\":1}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

net::Task<bool> send(FlightExchange* exchange, std::string text) {
  std::string_view parts[] = {std::string_view(text).substr(0, 3),
                              std::string_view(text).substr(3)};
  auto sent = co_await exchange->send(parts);
  co_return sent.has_value();
}
net::Task<bool> finish(FlightExchange* exchange) {
  auto finished = co_await exchange->finish();
  co_return finished.has_value();
}
net::Task<bool> flush(FlightExchange* exchange) {
  auto flushed = co_await exchange->flush_head();
  co_return flushed.has_value();
}
net::Task<bool> reply(FlightExchange* exchange, net::HttpReply reply) {
  auto replied = co_await exchange->reply(std::move(reply));
  co_return replied.has_value();
}
net::Task<gateway::AnswerPiecePtr> next_piece(AnswerReader* reader) {
  auto next = co_await reader->next();
  co_return next.piece;
}

net::Task<std::string> body_of(FlightExchange* exchange, std::uint64_t limit) {
  auto body = co_await exchange->read_body(limit);
  co_return body ? std::string(*body) : body.error().message;
}
net::Task<ErrorCode> upgrade(FlightExchange* exchange) {
  auto socket = co_await exchange->upgrade();
  co_return socket ? ErrorCode::internal : socket.error().code;
}

class FlightExchangeTest : public testing::Test {
 protected:
  FlightExchangeTest() {
    request.method = "POST";
    request.target = "/v1/x?q=1";
    request.path = std::string_view(request.target).substr(0, 5);
    request.query = std::string_view(request.target).substr(6);
    seat = store.join(gateway::answer_key({"k"}));
    exchange = std::make_unique<FlightExchange>(request, "the body", *seat.maker, 1000);
  }
  ~FlightExchangeTest() override { loops.end(); }

  template <class T>
  T run(net::Task<T> task) {
    return loops.run(loops.shards().serving(0), std::move(task));
  }

  Loops loops{1};
  telemetry::Metrics metrics;
  gateway::AnswerStore store{{}, metrics};
  net::HttpRequest request;
  gateway::AnswerStore::Seat seat;
  std::unique_ptr<FlightExchange> exchange;
};

TEST_F(FlightExchangeTest, TheRequestIsACopyOfItsOwn) {
  request.target = "overwritten";
  EXPECT_EQ(exchange->request().path, "/v1/x");
  EXPECT_EQ(exchange->request().query, "q=1");
  EXPECT_EQ(exchange->body(), "the body");
  EXPECT_EQ(exchange->request().method, "POST");
  EXPECT_EQ(run(body_of(exchange.get(), 0)), "the body");
  EXPECT_EQ(run(body_of(exchange.get(), 8)), "the body");
  EXPECT_EQ(run(body_of(exchange.get(), 7)), "the request body is too large");
  EXPECT_EQ(run(upgrade(exchange.get())), ErrorCode::unsupported);
}

TEST_F(FlightExchangeTest, AStreamIsReadPieceByPieceAndKeptWhole) {
  exchange->extra_headers().set("x-corral-endpoint", "a");
  exchange->set_age(std::chrono::seconds(3));
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_FALSE(exchange->begin(200, "text/event-stream"));
  EXPECT_TRUE(exchange->begun());
  EXPECT_TRUE(run(send(exchange.get(), std::string(kEvent))));
  EXPECT_TRUE(run(send(exchange.get(), std::string(kDone))));
  EXPECT_FALSE(exchange->finished());
  EXPECT_EQ(exchange->kept(), nullptr);
  EXPECT_TRUE(run(finish(exchange.get())));
  EXPECT_TRUE(exchange->finished());
  ASSERT_NE(exchange->kept(), nullptr);
  EXPECT_EQ(exchange->kept()->body, std::string(kEvent) + std::string(kDone));
  EXPECT_EQ(exchange->kept()->content_type, "text/event-stream");
  auto first = run(next_piece(seat.reader.get()));
  ASSERT_NE(first->head, nullptr);
  EXPECT_EQ(first->head->status, 200);
  EXPECT_FALSE(first->head->document);
  EXPECT_EQ(first->head->age, std::chrono::seconds(3));
  EXPECT_EQ(first->head->headers.get("x-corral-endpoint"), "a");
  EXPECT_EQ(first->bytes, kEvent);
  EXPECT_EQ(run(next_piece(seat.reader.get()))->head, nullptr);
  EXPECT_EQ(exchange->outcome().bytes_out, kEvent.size() + kDone.size());
}

TEST_F(FlightExchangeTest, CommentsArePassedOnButNotKept) {
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_TRUE(run(send(exchange.get(), ": queued, position 3\n\n")));
  EXPECT_TRUE(run(send(exchange.get(), ": with an event\n" + std::string(kEvent))));
  EXPECT_TRUE(run(send(exchange.get(), std::string(kDone))));
  EXPECT_TRUE(run(finish(exchange.get())));
  EXPECT_EQ(exchange->kept()->body, ": with an event\n" + std::string(kEvent) + std::string(kDone));
  EXPECT_EQ(run(next_piece(seat.reader.get()))->bytes, ": queued, position 3\n\n");
}

TEST_F(FlightExchangeTest, AStreamThatEndsWithAnErrorIsNotKept) {
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_TRUE(run(send(exchange.get(), std::string(kEvent))));
  EXPECT_TRUE(run(send(exchange.get(), "data: {\"error\":\"data: [DONE]\"}\n\n")));
  EXPECT_TRUE(run(finish(exchange.get())));
  EXPECT_TRUE(exchange->finished());
  EXPECT_EQ(exchange->kept(), nullptr);
}

TEST_F(FlightExchangeTest, AnAbortedStreamIsNotKept) {
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_TRUE(run(send(exchange.get(), std::string(kDone))));
  exchange->abort();
  EXPECT_TRUE(run(finish(exchange.get())));
  EXPECT_FALSE(exchange->finished());
  EXPECT_EQ(exchange->kept(), nullptr);
}

TEST_F(FlightExchangeTest, ADocumentIsOnePiece) {
  exchange->extra_headers().set("x-corral-endpoint", "a");
  net::HttpReply answer;
  answer.body = "{}";
  answer.headers.set("retry-after", "1");
  answer.compressible = false;
  EXPECT_TRUE(run(reply(exchange.get(), answer)));
  EXPECT_FALSE(run(reply(exchange.get(), answer)));
  ASSERT_NE(exchange->kept(), nullptr);
  EXPECT_EQ(exchange->kept()->body, "{}");
  auto piece = run(next_piece(seat.reader.get()));
  EXPECT_TRUE(piece->head->document);
  EXPECT_FALSE(piece->head->compressible);
  EXPECT_EQ(piece->head->headers.get("retry-after"), "1");
  EXPECT_EQ(piece->head->headers.get("x-corral-endpoint"), "a");
}

TEST_F(FlightExchangeTest, ErrorsAreNotKept) {
  net::HttpReply answer;
  answer.status = 503;
  EXPECT_TRUE(run(reply(exchange.get(), answer)));
  EXPECT_TRUE(exchange->finished());
  EXPECT_EQ(exchange->kept(), nullptr);
  EXPECT_EQ(exchange->outcome().status, 503);
}

TEST_F(FlightExchangeTest, WhatIsTooLargeIsPassedOnButNotKept) {
  seat = store.join(gateway::answer_key({"large"}));
  exchange = std::make_unique<FlightExchange>(request, "", *seat.maker, 100);
  net::HttpReply answer;
  answer.body = std::string(101, 'x');
  EXPECT_TRUE(run(reply(exchange.get(), answer)));
  EXPECT_EQ(exchange->kept(), nullptr);
  EXPECT_EQ(run(next_piece(seat.reader.get()))->bytes.size(), 101u);
}

TEST_F(FlightExchangeTest, AHeadCanGoAhead) {
  EXPECT_TRUE(run(flush(exchange.get())));  // nothing to send yet
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_TRUE(run(flush(exchange.get())));
  auto piece = run(next_piece(seat.reader.get()));
  EXPECT_NE(piece->head, nullptr);
  EXPECT_TRUE(piece->bytes.empty());
}

TEST_F(FlightExchangeTest, TheHandlerLearnsThatNobodyReads) {
  EXPECT_FALSE(exchange->client_gone());
  seat.reader.reset();
  EXPECT_TRUE(exchange->client_gone());
  ASSERT_TRUE(exchange->begin(200, "text/event-stream"));
  EXPECT_FALSE(run(send(exchange.get(), std::string(kEvent))));
  EXPECT_FALSE(run(finish(exchange.get())));
  EXPECT_FALSE(exchange->finished());
}

}  // namespace
}  // namespace corral::api::openai::flight_exchange_test

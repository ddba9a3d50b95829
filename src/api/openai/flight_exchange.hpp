// Takes a handler's answer as a client's connection would, and hands it to those who read the
// answer while it is made. So what makes answers needs not know how many clients get one.
//
// Thread rule: belongs to the coroutine of the handler. Lifecycle: outlives the handler's run; the
// maker outlives it.
#pragma once

#include <string>
#include <vector>

#include "gateway/answer_store.hpp"
#include "net/http_server.hpp"

namespace corral::api::openai {

class FlightExchange final : public net::HttpExchange {
 public:
  // `request` and `body` are copied. Answers past `most_kept` bytes are passed on, but not kept.
  FlightExchange(const net::HttpRequest& request, std::string_view body,
                 gateway::AnswerMaker& maker, std::size_t most_kept);

  const net::HttpRequest& request() const override { return request_; }
  net::Task<Result<std::string_view>> read_body(std::uint64_t limit) override;
  net::Task<Result<void>> reply(net::HttpReply reply) override;
  net::Headers& extra_headers() override { return extra_; }
  Result<void> begin(int status, std::string_view content_type) override;
  net::Task<Result<void>> flush_head() override;
  net::Task<Result<void>> send(std::span<const std::string_view> parts) override;
  net::Task<Result<void>> finish() override;
  void abort() override { aborted_ = true; }
  bool begun() const override { return begun_; }
  bool client_gone() const override { return !maker_.wanted(); }
  const net::HttpOutcome& outcome() const override { return outcome_; }
  net::Task<Result<std::unique_ptr<net::WebSocket>>> upgrade() override;

  // The answer was made so long ago; before begin() or reply().
  void set_age(std::chrono::nanoseconds age) { age_ = age; }

  std::string_view body() const { return body_; }
  bool finished() const { return finished_ && !aborted_; }
  // The whole answer, if it was a success and is whole; else nullptr.
  gateway::KeptAnswerPtr kept() const;

 private:
  net::Task<Result<void>> append(std::string bytes);

  net::HttpRequest request_;
  std::string body_;
  gateway::AnswerMaker& maker_;
  std::size_t most_kept_;
  net::Headers extra_;
  net::HttpOutcome outcome_;
  std::optional<std::chrono::nanoseconds> age_;
  std::shared_ptr<gateway::AnswerHead> head_;  // not sent yet
  std::string content_type_;
  std::vector<gateway::AnswerPiecePtr> pieces_;
  std::size_t pieces_bytes_ = 0;
  bool stream_ = false;
  bool too_large_ = false;
  bool begun_ = false;
  bool finished_ = false;
  bool aborted_ = false;
};

}  // namespace corral::api::openai

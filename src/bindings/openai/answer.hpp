// Answers in OpenAI's dialect: an event stream or one JSON document.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "bindings/binding.hpp"
#include "bindings/openai/chunk.hpp"
#include "bindings/openai/event_splitter.hpp"

namespace corral::bindings::openai {

struct StreamOptions {
  bool relayable = true;       // the client asked for a stream in this dialect
  bool hide_progress = false;  // drop llama.cpp's prompt_progress events, which we asked for
  std::string public_model;    // as JSON; put in place of the backend's name when not empty
};

class StreamAnswer final : public Answer {
 public:
  StreamAnswer(std::unique_ptr<net::ClientResponse> response, StreamOptions options);

  bool relayable() const override { return options_.relayable; }
  net::Task<Result<std::string_view>> next_bytes() override;
  net::Task<Result<std::optional<inference::Event>>> next_event() override;
  void set_patience(std::chrono::milliseconds limit) override {
    response_->set_between_bytes(limit);
  }
  const inference::Usage& usage() const override { return usage_; }
  std::optional<std::chrono::steady_clock::time_point> first_token_at() const override {
    return first_token_at_;
  }

 private:
  enum class Verdict { forward, drop, fail };
  net::Task<Result<bool>> read_more();      // false at the end of the body
  Verdict inspect(std::string_view event);  // reads what passes by
  void forward(std::string_view event);
  Error ended_early() const;

  std::unique_ptr<net::ClientResponse> response_;
  StreamOptions options_;
  EventSplitter splitter_;
  std::string out_;  // events gathered for one send
  std::string data_;
  std::deque<inference::Event> events_;
  std::vector<inference::Event> decoded_;
  ChunkState chunk_state_;
  inference::Usage usage_;
  std::optional<std::chrono::steady_clock::time_point> first_token_at_;
  bool done_ = false;             // the terminator was seen
  std::optional<Error> failure_;  // an error event passed by
};

class DocumentAnswer final : public Answer {
 public:
  // `relayable` answers are passed on as read; `limit` bounds what is kept to find the usage.
  explicit DocumentAnswer(std::unique_ptr<net::ClientResponse> response,
                          std::string public_model = {});

  bool relayable() const override { return true; }
  net::Task<Result<std::string_view>> next_bytes() override;
  net::Task<Result<std::optional<inference::Event>>> next_event() override;
  void set_patience(std::chrono::milliseconds limit) override {
    response_->set_between_bytes(limit);
  }
  const inference::Usage& usage() const override { return usage_; }
  std::optional<std::chrono::steady_clock::time_point> first_token_at() const override {
    return first_token_at_;
  }

 private:
  std::unique_ptr<net::ClientResponse> response_;
  std::string public_model_;
  std::string document_;
  bool given_ = false;
  inference::Usage usage_;
  std::optional<std::chrono::steady_clock::time_point> first_token_at_;
};

}  // namespace corral::bindings::openai

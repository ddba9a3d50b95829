// From an answer under way to the client: passes a stream on as it comes, or a document whole; goes
// on elsewhere with a stream that broke off, where the route allows it.
//
// Thread rule: belongs to the coroutine of its request.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "api/call.hpp"
#include "bindings/openai/stream_record.hpp"
#include "gateway/dispatcher.hpp"

namespace corral::api::openai {

// Begins the answer's event stream, unless that was done.
Result<void> begin_stream(net::HttpExchange& exchange);
// An error before or within an event stream, in a form that the client can read.
net::Task<void> refuse(net::HttpExchange& exchange, const Error& error);
// Tells the client of a stream where it stands in a queue, as a comment.
net::Task<void> tell_place(net::HttpExchange& exchange, const gateway::QueuePlace& place);
// What the client and the log learn of how the answer came about.
void note_attempts(CallNotes& notes, net::Headers& headers, const gateway::Attempts& attempts);
void note_dispatch(CallNotes& notes, net::Headers& headers, const gateway::Dispatched& dispatched);

// The whole of an answer that is no stream, in OpenAI's dialect.
std::string document_of(const gateway::Dispatched& dispatched, const inference::Request& request);

class Relay {
 public:
  Relay(Call& call, gateway::Dispatcher& dispatcher, const inference::Request& request,
        const gateway::Caller& caller, gateway::Dispatched& dispatched);

  net::Task<void> stream();
  net::Task<void> document();
  void note_answer();

 private:
  net::Task<bool> send(std::string_view held, std::string_view piece);  // false: the client left
  net::Task<Result<std::string_view>> next();
  net::Task<Result<void>> go_on(const Error& why);
  bool late() const { return std::chrono::steady_clock::now() > deadline_; }

  Call& call_;
  gateway::Dispatcher& dispatcher_;
  const inference::Request& request_;
  const gateway::Caller& caller_;
  gateway::Dispatched& dispatched_;
  std::chrono::steady_clock::time_point deadline_;
  std::unique_ptr<bindings::openai::StreamRecord> record_;  // where the route resumes streams
  bool continued_ = false;
  unsigned resumptions_ = 0;
  inference::Request rest_;  // asks for what is left
  std::string rest_body_;
  std::string spliced_;
};

}  // namespace corral::api::openai

// A binding speaks one kind of backend: canonical request -> backend wire -> canonical events.
//
// Lifecycle: one Binding a kind, stateless and shared by all endpoints and shards; one Answer a
// request, belonging to the shard that opened it. Destroying an Answer before its end closes the
// upstream connection, which is how a backend learns that nobody listens any more.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/event.hpp"
#include "inference/request.hpp"
#include "net/http_client.hpp"
#include "net/task.hpp"

namespace corral::bindings {

// How to reach one endpoint.
struct EndpointAddress {
  net::HttpTarget target;
  std::string api_key;  // sent as Bearer when not empty; never logged
};

struct CallTimeouts {
  std::chrono::milliseconds connect{2'000};
  std::chrono::milliseconds first_token{120'000};
  std::chrono::milliseconds between_tokens{60'000};
};

// One answer under way. Either all `next_bytes` or all `next_event`, not both.
class Answer {
 public:
  virtual ~Answer() = default;

  // May the backend's bytes go to the client as they are? Decided by the binding when it opened:
  // the dialects agree, and the framing (one JSON document or an event stream) is what was asked.
  virtual bool relayable() const = 0;
  // Complete pieces ready to be sent on (whole SSE events, or parts of the document); empty at the
  // end; valid until the next call. A stream that ends without its terminator is an `upstream`
  // error.
  virtual net::Task<Result<std::string_view>> next_bytes() = 0;
  // The next canonical event; nullopt at the end.
  virtual net::Task<Result<std::optional<inference::Event>>> next_event() = 0;

  // The longest wait for a next piece or event, from now on.
  virtual void set_patience(std::chrono::milliseconds limit) = 0;

  // What is known so far; complete at the end.
  virtual const inference::Usage& usage() const = 0;
  // When the first token was seen.
  virtual std::optional<std::chrono::steady_clock::time_point> first_token_at() const = 0;
};

class Binding {
 public:
  virtual ~Binding() = default;
  virtual std::string_view kind() const = 0;

  // Sends the request; returns when the backend has accepted it. A refusal by the backend is an
  // Error with its message: 4xx keeps its meaning (invalid_argument, not_found, too_large,
  // rate_limited ...), 5xx and rubbish are `upstream` or `unavailable`.
  virtual net::Task<Result<std::unique_ptr<Answer>>> open(const EndpointAddress& address,
                                                          const inference::Request& request,
                                                          CallTimeouts timeouts) const = 0;

  // Whether it is there and well, by the cheapest question that a server of this kind answers.
  virtual net::Task<Result<void>> probe(const EndpointAddress& address,
                                        std::chrono::milliseconds timeout) const = 0;
  // A real request of one token, which shows that `model` works there.
  virtual net::Task<Result<void>> validate(const EndpointAddress& address, std::string model,
                                           CallTimeouts timeouts) const = 0;
};

// The bindings of this program by kind.
class BindingSet {
 public:
  BindingSet();
  explicit BindingSet(std::vector<std::unique_ptr<Binding>> bindings)
      : bindings_(std::move(bindings)) {}
  const Binding* find(std::string_view kind) const;
  std::vector<std::string> kinds() const;

 private:
  std::vector<std::unique_ptr<Binding>> bindings_;
};

}  // namespace corral::bindings

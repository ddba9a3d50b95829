// A connected stream to an address, for protocols that are not HTTP: looked up, connected, and
// hand-shaken where the target speaks TLS.
//
// Thread rule: belongs to its shard. Lifecycle: outlives its calls.
// Example:
//   Dialer dialer;
//   CORRAL_CO_TRY(auto stream, co_await dialer.dial(target, 1s));
#pragma once

#include <chrono>
#include <memory>

#include "net/http_client.hpp"
#include "net/stream.hpp"
#include "net/task.hpp"

namespace corral::net {

class Resolver;

class Dialer {
 public:
  Dialer();
  ~Dialer();
  Dialer(const Dialer&) = delete;

  // unavailable: nobody listens, or the name does not resolve; timeout; cancelled; and what the
  // hand-shake says. `target.base_path` means nothing here.
  Task<Result<std::unique_ptr<Stream>>> dial(HttpTarget target, std::chrono::milliseconds timeout);

 private:
  std::unique_ptr<Resolver> resolver_;
};

}  // namespace corral::net

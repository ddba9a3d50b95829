#include "gateway/dispatcher.hpp"

namespace corral::gateway {
namespace {

constexpr unsigned kTries = 3;
using SteadyClock = std::chrono::steady_clock;

bool may_try_elsewhere(const Endpoint& endpoint, const Error& error) {
  return endpoint.managed() && error.code == ErrorCode::unavailable;
}

}  // namespace

net::Task<Result<Dispatched>> Dispatcher::open(inference::Request& request,
                                               bindings::CallTimeouts timeouts) const {
  Dispatched result;
  auto begun = SteadyClock::now();
  for (;;) {
    Target target = source_.ready(request.model, request.operation);
    if (target.endpoint == nullptr || target.endpoint->closed()) {
      auto found = co_await source_.ensure(request.model, request.operation);
      if (!found) co_return std::unexpected(std::move(found).error());
      target = std::move(*found);
    }
    bool last = ++result.attempts >= kTries;
    auto lease = co_await target.endpoint->acquire();
    if (!lease) {
      if (lease.error().code == ErrorCode::conflict) {
        if (!last) continue;
        co_return std::unexpected(
            fail(ErrorCode::unavailable, "the model is being started anew again and again")
                .hint("try again in a few seconds")
                .after(std::chrono::seconds(2)));
      }
      co_return std::unexpected(std::move(lease).error());
    }
    auto sent = SteadyClock::now();
    request.backend_model = target.backend_model;
    auto answer =
        co_await target.endpoint->binding().open(target.endpoint->address(), request, timeouts);
    if (answer) {
      result.lease = std::move(*lease);
      result.answer = std::move(*answer);
      result.waited = sent - begun;
      result.opened = SteadyClock::now() - sent;
      co_return result;
    }
    if (last || !may_try_elsewhere(*target.endpoint, answer.error())) {
      co_return std::unexpected(std::move(answer).error());
    }
    target.endpoint->close();
  }
}

}  // namespace corral::gateway

#include "gateway/dispatcher.hpp"

#include <fmt/core.h>

namespace corral::gateway {

Dispatcher::Dispatcher(net::Shards& shards, EndpointSource& source)
    : source_(source), routing_(shards, std::make_shared<const Routing>()) {}

net::Task<Result<void>> Dispatcher::open(inference::Request& request, const Caller& caller,
                                         Dispatched& result) {
  auto match = routing_.local()->find(request.model.str());
  if (match.route == nullptr) {
    // The error names what there is; a model that came a moment ago is found now.
    CORRAL_CO_CHECK(co_await source_.ensure(request.model, request.operation, {}));
    match = routing_.local()->find(request.model.str());
    if (match.route == nullptr) {
      co_return std::unexpected(
          fail(ErrorCode::unavailable,
               fmt::format("the model '{}' is only just being made known", request.model.str()))
              .hint("try again")
              .after(std::chrono::seconds(1)));
    }
  }
  // The frame keeps what it names: the table may be replaced meanwhile.
  std::string matched(match.matched);
  Flight flight(source_, room_, match.route, matched, request, caller);
  co_return co_await flight.run(result);
}

net::Task<Result<void>> Dispatcher::go_on(const Dispatched& broken, inference::Request& request,
                                          const Caller& caller, Dispatched& result) {
  Flight flight(source_, room_, broken.route, broken.matched, request, caller);
  auto broke_off = broken.broke_off;
  broke_off.push_back(broken.place.state());
  for (const auto& state : broke_off) flight.leave_out(*state);
  CORRAL_CO_CHECK(co_await flight.run(result));
  result.broke_off = std::move(broke_off);
  broken.route->state->counters.resumed.fetch_add(1, std::memory_order_relaxed);
  co_return Result<void>();
}

}  // namespace corral::gateway

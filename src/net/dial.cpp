#include "net/dial.hpp"

#include "net/upstream.hpp"

namespace corral::net {

Dialer::Dialer() : resolver_(std::make_unique<Resolver>()) {}
Dialer::~Dialer() = default;

Task<Result<std::unique_ptr<Stream>>> Dialer::dial(HttpTarget target,
                                                   std::chrono::milliseconds timeout) {
  auto connected = co_await connect_to(*Shard::current(), *resolver_, std::move(target), timeout);
  if (!connected) co_return std::unexpected(std::move(connected).error());
  co_return std::move(connected->stream);
}

}  // namespace corral::net

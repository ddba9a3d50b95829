// The coroutine type of the program, and what every coroutine may use.
//
// `Task<T>` is Asio's awaitable. Rules (each was measured): a capturing lambda is never a
// coroutine; parameters are taken by value or outlive the call; a `co_await` stands alone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>

#include "base/error.hpp"

namespace corral::net {

template <class T = void>
using Task = boost::asio::awaitable<T>;

// Sleeps on the calling shard. Error `cancelled` when the coroutine was cancelled meanwhile.
Task<Result<void>> sleep_for(std::chrono::nanoseconds duration);

// Waits until `fd` (a pipe, pidfd or inotify descriptor) is readable. Error `cancelled` as above.
// The descriptor stays the caller's and must outlive the wait. One waiter a descriptor.
Task<Result<void>> wait_readable(int fd);

}  // namespace corral::net

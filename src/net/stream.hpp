// One byte stream: TCP, unix socket, or TLS over either. Try first, wait after: reads and writes
// never block; on `would_block` the caller awaits `wait()` and tries again.
//
// Thread rule: belongs to its shard. At most one wait a direction at a time.
#pragma once

#include <sys/uio.h>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/task.hpp"
#include "sys/fd.hpp"

namespace corral::net {

enum class IoStatus { ok, would_block, end, failed };

struct IoResult {
  IoStatus status = IoStatus::ok;
  std::size_t bytes = 0;
  int error = 0;  // errno, for `failed`
};

enum class Direction { read, write };

class Stream {
 public:
  virtual ~Stream() = default;  // closes
  virtual IoResult try_read(std::span<char> into) = 0;
  virtual IoResult try_write(std::span<const iovec> parts) = 0;  // may write a part
  // Until the stream is ready that way. False: cancelled, closed, or failed (try again tells
  // which).
  virtual Task<bool> wait(Direction direction) = 0;
  // Ends pending waits (they return false). The stream is not used for I/O afterwards.
  virtual void close() = 0;
  virtual bool is_open() const = 0;
  virtual std::string peer() const = 0;  // "127.0.0.1:40000", "unix"
  virtual bool encrypted() const = 0;
};

// Writes all of `parts`, waiting as needed.
Task<Result<void>> write_all(Stream& stream, std::span<iovec> parts);

// A plain stream over a connected non-blocking socket; belongs to the calling shard.
std::unique_ptr<Stream> make_plain_stream(sys::Fd socket);

}  // namespace corral::net

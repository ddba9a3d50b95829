// The plain stream, with what only the connections of src/net may do with it.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <string>

#include "net/parked.hpp"
#include "net/stream.hpp"

namespace corral::net {

class PlainStream final : public Stream {
 public:
  PlainStream(Shard& shard, sys::Fd socket);
  ~PlainStream() override;

  IoResult try_read(std::span<char> into) override;
  IoResult try_write(std::span<const iovec> parts) override;
  Task<bool> wait(Direction direction) override;
  void close() override;
  bool is_open() const override { return descriptor_.is_open(); }
  std::string peer() const override;
  bool encrypted() const override { return false; }

  // Calls `ready(true)` once something can be read, or `ready(false)` when the stream was closed or
  // the watch was ended. One at a time.
  template <class Callback>
  void watch_readable(Callback ready) {
    descriptor_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                           [ready = std::move(ready)](const boost::system::error_code& error) mutable {
                             ready(!error);
                           });
  }
  void end_waits();
  // Until it can be read or written. False as in wait().
  Task<bool> wait_any();

  void shutdown_write();
  void reset_on_close();  // close() will send RST: the peer sees that the stream was cut
  sys::Fd release();      // takes the socket out
  int fd() const { return fd_; }

 private:
  boost::asio::posix::stream_descriptor descriptor_;
  int fd_ = -1;
};

// "127.0.0.1:40000", "[::1]:40000", "unix".
std::string peer_name(int socket);
void set_no_delay(int socket);

}  // namespace corral::net

// The plain stream, with what only the connections of src/net may do with it.
#pragma once

#include <string>

#include "net/parked.hpp"
#include "net/poller.hpp"
#include "net/stream.hpp"

namespace corral::net {

// Told once when a stream can be read, without a coroutine of its own.
class ReadWatcher {
 public:
  virtual void on_readable() = 0;

 protected:
  ~ReadWatcher() = default;
};

class PlainStream final : public Stream, private Polled {
 public:
  PlainStream(Shard& shard, sys::Fd socket);
  ~PlainStream();

  IoResult try_read(std::span<char> into) override;
  IoResult try_write(std::span<const iovec> parts) override;
  Task<bool> wait(Direction direction) override;
  void close() override;
  bool is_open() const override { return socket_.valid(); }
  std::string peer() const override;
  bool encrypted() const override { return false; }

  // Calls `watcher` from the event loop at the next event, once; never after close() or
  // watch(nullptr). What maybe_readable() says already is no event. Not together with a wait for
  // reading.
  void watch(ReadWatcher* watcher) { watcher_ = watcher; }
  // Until it can be read or written. False as in wait().
  Task<bool> wait_any();
  // Bytes or an end may have come since the last read; false: surely not, as far as the loop knows.
  bool maybe_readable() const { return readable_ || ended_; }

  // Bytes are likely to be there although no event has told: the next wait for reading ends at
  // once.
  void expect_bytes() { readable_ = true; }

  // The peer closed or failed; bytes that came before may be unread.
  bool peer_ended() const { return ended_; }

  void shutdown_write();
  void reset_on_close();  // close() will send RST: the peer sees that the stream was cut
  sys::Fd release();      // takes the socket out
  int fd() const { return socket_.get(); }

 private:
  void on_events(std::uint32_t events) override;
  void leave_poller();

  Shard::Impl& shard_;
  sys::Fd socket_;
  int token_ = -1;
  Parked reader_;
  Parked writer_;
  ReadWatcher* watcher_ = nullptr;
  bool any_ = false;       // the reader is to be resumed for writing as well
  bool readable_ = false;  // an event came that nobody waited for
  bool writable_ = false;
  bool ended_ = false;  // the peer closed or failed: reading tells, there is no further event
};

// "127.0.0.1:40000", "[::1]:40000", "unix".
std::string peer_name(int socket);
void set_no_delay(int socket);

}  // namespace corral::net

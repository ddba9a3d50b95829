// Readiness of the sockets of one shard: an epoll of its own, edge-triggered, inside the event
// loop.
//
// Asio arms every wait with a system call. Here a socket is registered once, for good; a wait is a
// store, and one call of the kernel serves all sockets that became ready. On a relay of small
// requests that is two system calls of seven less for each.
// Thread rule: belongs to its shard.
#pragma once

#include <cstdint>
#include <vector>

#include "sys/fd.hpp"

namespace corral::net {

class Polled {
 public:
  // EPOLL* bits of now. May destroy this object.
  virtual void on_events(std::uint32_t events) = 0;

 protected:
  ~Polled() = default;
};

class Poller {
 public:
  Poller();

  int fd() const { return epoll_.get(); }
  // A token for remove(), or -1 with errno set.
  int add(int socket, Polled& owner);
  void remove(int token, int socket);
  // Tells those that are ready; returns how many that were.
  int dispatch();

 private:
  // Events that were already fetched may name a socket that was removed meanwhile: the generation
  // tells.
  struct Slot {
    Polled* owner = nullptr;
    std::uint32_t generation = 0;
  };

  sys::Fd epoll_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
};

}  // namespace corral::net

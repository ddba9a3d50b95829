#include "net/poller.hpp"

#include <sys/epoll.h>

namespace corral::net {

Poller::Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

int Poller::add(int socket, Polled& owner) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  std::uint32_t index = free_.back();
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = (std::uint64_t{slots_[index].generation} << 32) | index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event) != 0) return -1;
  free_.pop_back();
  slots_[index].owner = &owner;
  return static_cast<int>(index);
}

void Poller::remove(int token, int socket) {
  Slot& slot = slots_[static_cast<std::size_t>(token)];
  slot.owner = nullptr;
  ++slot.generation;
  free_.push_back(static_cast<std::uint32_t>(token));
  // Explicitly, because a duplicate of the descriptor would keep it registered.
  epoll_event ignored{};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket, &ignored);
}

int Poller::dispatch() {
  epoll_event events[128];
  int count = ::epoll_wait(epoll_.get(), events, 128, 0);
  for (int i = 0; i < count; ++i) {
    auto index = static_cast<std::uint32_t>(events[i].data.u64);
    auto generation = static_cast<std::uint32_t>(events[i].data.u64 >> 32);
    const Slot& slot = slots_[index];
    if (slot.owner != nullptr && slot.generation == generation) {
      slot.owner->on_events(events[i].events);
    }
  }
  return count;
}

}  // namespace corral::net

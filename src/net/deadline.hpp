// A coarse deadline of a connection. Setting one is a store: no timer is armed. The shard sweeps
// all of its deadlines every 100 ms, and calls those that have passed once.
//
// Thread rule: belongs to its shard. Destroying one forgets it.
// Example: Deadline deadline(shard.impl(), &Connection::expired, this); deadline.after(30s);
#pragma once

#include <boost/intrusive/list.hpp>
#include <chrono>

#include "net/shard.hpp"

namespace corral::net {

class Deadline : public boost::intrusive::list_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  using Clock = std::chrono::steady_clock;
  // `expire(owner)` runs on the shard, never inside a call of the owner; it may destroy the
  // deadline.
  using Expire = void (*)(void* owner);

  Deadline(Shard::Impl& shard, Expire expire, void* owner);

  void at(Clock::time_point when);
  void after(Clock::duration duration) { at(Clock::now() + duration); }
  void clear() { when_ = Clock::time_point::max(); }
  bool armed() const { return when_ != Clock::time_point::max(); }
  Clock::time_point when() const { return when_; }
  void expire() { expire_(owner_); }

 private:
  Shard::Impl& shard_;
  Expire expire_;
  void* owner_;
  Clock::time_point when_ = Clock::time_point::max();
};

}  // namespace corral::net

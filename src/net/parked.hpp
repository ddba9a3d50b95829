// One suspended coroutine that its owner resumes by hand: what waits for another part of the same
// shard are made of. No descriptor, no timer, no lock.
//
// Thread rule: belongs to its shard. At most one coroutine is parked at a time. A shard that ends
// destroys the coroutines parked on it.
// Example:
//   bool ready = co_await parked.park();   // false: cancelled, or resumed with false
//   parked.resume_later(true);             // elsewhere
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/intrusive/list.hpp>
#include <functional>

#include "net/shard.hpp"
#include "net/task.hpp"

namespace corral::net {

class Parked : public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  using Handler = std::move_only_function<void(bool)>;

  explicit Parked(Shard::Impl& shard) : shard_(shard) {}
  ~Parked();
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;

  Task<bool> park();
  // The same, deaf to cancellation.
  Task<bool> park_uncancellable();
  bool occupied() const { return static_cast<bool>(handler_); }
  // Runs the coroutine inside this call: only from the end of an event handler.
  void resume_now(bool value);
  // Runs it from the event loop.
  void resume_later(bool value);
  // Destroys the coroutine without resuming it.
  void drop();

 private:
  void hold(Handler handler, boost::asio::cancellation_slot slot);
  Handler take();

  Shard::Impl& shard_;
  Handler handler_;
  boost::asio::cancellation_slot slot_;
};

}  // namespace corral::net

#include "net/shard.hpp"

#include <cstdlib>
#include <ctime>
#include <thread>

#include "base/bug.hpp"
#include "net/http_client.hpp"
#include "net/shard_impl.hpp"
#include "sys/random.hpp"

namespace corral::net {
namespace asio = boost::asio;
namespace {

thread_local Shard* current_shard = nullptr;

// Makes `shard` the calling thread's for a while (its loop, or its destruction).
class CurrentShard {
 public:
  explicit CurrentShard(Shard* shard) : before_(std::exchange(current_shard, shard)) {}
  ~CurrentShard() { current_shard = before_; }
  CurrentShard(const CurrentShard&) = delete;
  CurrentShard& operator=(const CurrentShard&) = delete;

 private:
  Shard* before_;
};

void arm(Ticker& ticker) {
  ticker.timer.expires_after(ticker.period);
  ticker.timer.async_wait([&ticker](const boost::system::error_code& error) {
    if (error) return;
    ticker.action();
    arm(ticker);
  });
}

}  // namespace

Shard::Impl::Impl(Shard& owner)
    : shard(owner),
      work(asio::make_work_guard(context)),
      mailbox(std::make_shared<Mailbox>(context)),
      poll_descriptor(context),
      sweep_timer(context) {
  poll_descriptor.assign(poller.fd());
  poll_later();
  sys::fill_random(std::span(reinterpret_cast<unsigned char*>(id_state), sizeof id_state));
}

Shard::Impl::~Impl() {
  // The context goes last but for the lists: it destroys every coroutine that still waits in it.
  mailbox->close();
  poll_descriptor.release();  // the poller closes it
  tickers.clear();
  client.reset();
  while (!parked.empty()) parked.front().drop();
}

void Shard::Impl::run() {
  CurrentShard scope(&shard);
  context.run();
}

char* Shard::Impl::scratch() {
  if (!scratch_memory) scratch_memory.reset(new char[kScratchSize]);
  return scratch_memory.get();
}

void Shard::Impl::poll_later() {
  poll_descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                             [this](const boost::system::error_code& error) {
                               if (error) return;
                               // Arming the wait again costs a call; a busy poller is asked once
                               // more before, but not for ever: posted work and timers wait.
                               for (int round = 0; round < 4; ++round) {
                                 if (poller.dispatch() < 4) break;
                               }
                               poll_later();
                             });
}

void Shard::Impl::start_sweep() {
  sweeping = true;
  sweep_timer.expires_after(kSweep);
  sweep_timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) sweep();
  });
}

void Shard::Impl::sweep() {
  auto now = Deadline::Clock::now();
  List<Deadline> passed;
  for (auto it = deadlines.begin(); it != deadlines.end();) {
    Deadline& deadline = *it++;
    if (deadline.when() > now) continue;
    deadline.unlink();
    passed.push_back(deadline);
  }
  // One at a time: an expiry may destroy other deadlines, which then leave the list by themselves.
  while (!passed.empty()) {
    Deadline& deadline = passed.front();
    deadline.unlink();
    deadlines.push_back(deadline);
    deadline.clear();
    deadline.expire();
  }
  sweeping = false;
  if (!deadlines.empty()) start_sweep();
}

std::string_view Shard::Impl::http_date() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != date_second) {
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    date = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                       kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                       parts.tm_sec);
    date_second = now.tv_sec;
  }
  return date;
}

void Shard::Impl::append_id(std::string& to) {
  // xoroshiro128+ (Blackman, Vigna), seeded from the operating system.
  std::uint64_t a = id_state[0];
  std::uint64_t b = id_state[1];
  std::uint64_t value = a + b;
  b ^= a;
  id_state[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
  id_state[1] = (b << 37) | (b >> 27);
  for (int shift = 60; shift >= 0; shift -= 4) to += "0123456789abcdef"[(value >> shift) & 15];
}

char* Block::acquire() {
  if (!memory_) {
    auto& free = shard_->free_blocks;
    if (free.empty()) {
      memory_.reset(new char[kSize]);
    } else {
      memory_ = std::move(free.back());
      free.pop_back();
    }
  }
  return memory_.get();
}

void Block::release() {
  constexpr std::size_t kKept = 16;
  if (memory_ && shard_->free_blocks.size() < kKept) {
    shard_->free_blocks.push_back(std::move(memory_));
  }
  memory_.reset();
}

Deadline::Deadline(Shard::Impl& shard, Expire expire, void* owner)
    : shard_(shard), expire_(expire), owner_(owner) {
  shard_.deadlines.push_back(*this);
}

void Deadline::at(Clock::time_point when) {
  when_ = when;
  if (!shard_.sweeping) shard_.start_sweep();
}

Shard::Shard(std::size_t index) : index_(index), impl_(std::make_unique<Impl>(*this)) {}

Shard::~Shard() {
  CurrentShard scope(this);
  impl_.reset();
}

void Shard::post(std::function<void()> work) { impl_->mailbox->post(std::move(work)); }

void Shard::every(std::chrono::milliseconds period, std::function<void()> action) {
  auto start = [this, period, action = std::move(action)]() mutable {
    auto& ticker = *impl_->tickers.emplace_back(std::make_unique<Ticker>(impl_->context));
    ticker.period = period;
    ticker.action = std::move(action);
    arm(ticker);
  };
  if (is_current()) {
    start();
  } else {
    post(std::move(start));
  }
}

bool Shard::is_current() const { return current_shard == this; }
Shard* Shard::current() { return current_shard; }

Shard& Shard::needed_by(std::string_view who) {
  if (current_shard == nullptr) {
    BUG(std::string(who) + " outside a shard");  // the release build goes on after it
    std::abort();
  }
  return *current_shard;
}

struct Shards::Threads {
  std::vector<std::thread> serving;
  std::mutex mutex;
};

Shards::Shards(std::size_t serving_shards) : threads_(std::make_unique<Threads>()) {
  for (std::size_t i = 0; i < serving_shards; ++i) serving_.push_back(std::make_unique<Shard>(i));
  control_ = std::make_unique<Shard>(serving_shards);
}

Shards::~Shards() {
  stop();
  join();
  // Connections first: they may hold what belongs to the control shard, never the other way round.
  for (auto& shard : serving_) shard.reset();
  control_.reset();
}

void Shards::start() {
  std::lock_guard lock(threads_->mutex);
  if (!threads_->serving.empty()) return;
  for (auto& shard : serving_) {
    threads_->serving.emplace_back([impl = &shard->impl()] { impl->run(); });
  }
}

void Shards::run_control() { control_->impl().run(); }

void Shards::stop() {
  for (auto& shard : serving_) shard->impl().context.stop();
  control_->impl().context.stop();
}

void Shards::join() {
  std::lock_guard lock(threads_->mutex);
  for (auto& thread : threads_->serving) {
    if (thread.joinable()) thread.join();
  }
}

void Shards::post_all(const std::function<void(Shard&)>& work) {
  for (auto& shard : serving_) {
    shard->post([work, target = shard.get()] { work(*target); });
  }
}

Task<void> cancel_on(Shard& shard, TaskGroup& group) {
  (void)co_await call_on<bool>(shard, [&group] {
    group.cancel();
    return true;
  });
}

}  // namespace corral::net

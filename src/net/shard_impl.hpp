// What a shard is made of; for src/net only.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/deadline.hpp"
#include "net/parked.hpp"
#include "net/poller.hpp"
#include "net/shard.hpp"

namespace corral::net {

class HttpClient;

// The door of a shard for other threads. It outlives the shard: what is posted afterwards is
// dropped.
class Mailbox {
 public:
  explicit Mailbox(boost::asio::io_context& context) : context_(&context) {}

  template <class Work>
  void post(Work&& work) {
    std::lock_guard lock(mutex_);
    if (context_ != nullptr) boost::asio::post(*context_, std::forward<Work>(work));
  }
  void close() {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

 private:
  std::mutex mutex_;
  boost::asio::io_context* context_;
};

// 16 KiB for bytes that wait to be read by somebody; taken from the shard and given back.
class Block {
 public:
  static constexpr std::size_t kSize = 16 * 1024;
  explicit Block(Shard::Impl& shard) : shard_(&shard) {}
  ~Block() { release(); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  char* acquire();  // the same memory until release()
  void release();
  bool held() const { return memory_ != nullptr; }

 private:
  Shard::Impl* shard_;
  std::unique_ptr<char[]> memory_;
};

// Lets the others on the calling shard have a turn; for loops that may never have to wait.
Task<void> yield_turn();

struct Ticker {
  explicit Ticker(boost::asio::io_context& context) : timer(context) {}
  boost::asio::steady_timer timer;
  std::chrono::milliseconds period{0};
  std::function<void()> action;
};

struct Shard::Impl {
  static constexpr std::size_t kScratchSize = 64 * 1024;
  static constexpr auto kSweep = std::chrono::milliseconds(100);

  explicit Impl(Shard& owner);
  ~Impl();

  template <class Item>
  using List = boost::intrusive::list<Item, boost::intrusive::constant_time_size<false>>;

  void run();
  void poll_later();
  void start_sweep();
  void sweep();
  std::string_view http_date();     // of the current second
  void append_id(std::string& to);  // 16 hex characters, unpredictable enough for request ids
  char* scratch();                  // kScratchSize bytes, free for use between two waits

  Shard& shard;
  // Before the context: the coroutines it destroys when it goes still refer to these.
  Poller poller;
  List<Deadline> deadlines;
  List<Parked> parked;
  std::vector<std::unique_ptr<char[]>> free_blocks;
  std::unique_ptr<char[]> scratch_memory;
  std::string date;
  std::int64_t date_second = -1;
  std::uint64_t id_state[2] = {0, 0};
  bool sweeping = false;

  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::shared_ptr<Mailbox> mailbox;
  boost::asio::posix::stream_descriptor poll_descriptor;  // the poller's, in the event loop
  boost::asio::steady_timer sweep_timer;
  std::vector<std::unique_ptr<Ticker>> tickers;
  std::unique_ptr<HttpClient> client;
};

}  // namespace corral::net

// A connection to Redis that keeps itself: connects, logs in, sends commands as they come without
// waiting for the replies of those before, and connects anew with growing pauses after a failure.
//
// While there is no connection, commands fail at once; with one, they wait at most `patience`,
// after which the connection counts as dead. So a Redis that is away costs its users no time.
// Thread rule: belongs to its shard; `cancel`, too. Lifecycle: construct, `start()`, use,
// `cancel()` and wait until `running()` is 0, destroy. Example:
//   RedisClient client(shard, {.url = url}, {});
//   client.start();
//   CORRAL_CO_TRY(auto reply, co_await client.call({"GET", "corral:x"}));
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/dial.hpp"
#include "net/shard.hpp"
#include "net/tls.hpp"
#include "store/core/redis_pipeline.hpp"
#include "store/redis_url.hpp"

namespace corral::store {

struct RedisOptions {
  RedisUrl url;
  std::chrono::milliseconds connect_timeout{1'000};
  std::chrono::milliseconds pause_min{100};  // before connecting anew
  std::chrono::milliseconds pause_max{10'000};
  RedisPipeline::Limits limits;
};

// Told on the shard.
struct RedisEvents {
  std::function<void()> connected;
  std::function<void(const Error&)> failed;  // no connection, or it broke
};

class RedisClient {
 public:
  RedisClient(net::Shard& shard, RedisOptions options, RedisEvents events);
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;

  void start();
  bool connected() const { return live_ != nullptr && live_->ready; }

  // unavailable: no connection, or it broke; timeout; cancelled. What Redis itself refuses is a
  // reply of kind `error`.
  net::Task<Result<RedisReply>> call(std::vector<std::string> words);

  void cancel();
  std::size_t running() const { return tasks_.running(); }  // any thread

 private:
  using Slot = net::OneShot<Result<RedisReply>>;
  struct Live {
    Live(std::unique_ptr<net::Stream> connected, RedisPipeline::Limits limits)
        : stream(std::move(connected)), pipeline(limits) {}
    std::unique_ptr<net::Stream> stream;
    RedisPipeline pipeline;
    std::unordered_map<RedisPipeline::Ticket, std::shared_ptr<Slot>> slots;
    bool ready = false;    // logged in
    bool writing = false;  // a task waits until the socket takes more
    bool watching = false;
    bool overdue = false;
  };
  using LivePtr = std::shared_ptr<Live>;

  net::Task<void> keep_connected();
  net::Task<Result<void>> connect_and_serve();
  net::Task<Result<void>> log_in(LivePtr live);
  net::Task<void> log_in_then(LivePtr live, std::shared_ptr<Result<void>> outcome);
  net::Task<Result<void>> read(LivePtr live);
  net::Task<void> write_rest(LivePtr live);
  net::Task<void> watch(LivePtr live);
  net::Task<Result<RedisReply>> ask(LivePtr live, std::vector<std::string> words);
  void flush(const LivePtr& live);
  void fulfil(Live& live, std::vector<RedisPipeline::Answer> answers);
  static void break_off(Live& live, const Error& why);

  RedisOptions options_;
  RedisEvents events_;
  net::HttpTarget target_;
  net::Dialer dialer_;
  ReconnectPause pause_;
  LivePtr live_;
  bool stopping_ = false;
  net::TaskGroup tasks_;
};

}  // namespace corral::store

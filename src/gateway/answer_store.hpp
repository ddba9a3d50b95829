// Answers that are kept and answers that are being made: the thread-safe driver of AnswerCache and
// FlightGroup, with readers and makers on any shard.
//
// Thread rule: everything may be called on any thread; a reader or a maker is used by one coroutine
// at a time, and waits on the shard of that coroutine. No lock is held while anything outside is
// called. Lifecycle: construct, use, `tick()` every second or so; outlives its readers and makers.
// Example:
//   if (auto found = store.find(key)) co_return co_await send(found->answer);
//   auto seat = store.join(key);
//   if (seat.maker) start_making(std::move(seat.maker));
//   for (;;) {
//     auto next = co_await seat.reader->next();
//     ...
//   }
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/error.hpp"
#include "gateway/core/answer_cache.hpp"
#include "gateway/core/flight_group.hpp"
#include "net/headers.hpp"
#include "net/one_shot.hpp"
#include "net/task.hpp"
#include "telemetry/metrics.hpp"

namespace corral::gateway {

// What stands before the bytes of an answer.
struct AnswerHead {
  int status = 200;
  std::string content_type;
  net::Headers headers;
  bool document = true;  // one piece, sent with its length; else a stream of pieces
  bool compressible = true;
  std::optional<std::chrono::nanoseconds> age;  // of an answer that was kept; none: made now
};

// A level that several Corral processes share. It answers for its own failures: what it cannot
// find or keep is as if it were not there.
class SharedAnswers {
 public:
  struct Found {
    KeptAnswerPtr answer;
    std::chrono::milliseconds age{0};
  };
  virtual ~SharedAnswers() = default;
  virtual net::Task<std::optional<Found>> find(AnswerKey key) = 0;
  virtual net::Task<void> keep(AnswerKey key, KeptAnswerPtr answer,
                               std::chrono::milliseconds ttl) = 0;
};

class AnswerStore;

// One client's way through an answer that is being made. Leaves it when destroyed.
class AnswerReader {
 public:
  enum class Kind {
    piece,
    complete,
    failed,
    cut,   // too slow: the others go on without it
    lead,  // who led went away: make the answer, with `maker`
    left,  // the waiting coroutine was cancelled
  };
  struct Next;
  AnswerReader(AnswerStore& store, std::size_t stripe, FlightGroup::Seat seat)
      : store_(store), stripe_(stripe), seat_(seat) {}
  ~AnswerReader();
  AnswerReader(const AnswerReader&) = delete;
  net::Task<Next> next();

 private:
  AnswerStore& store_;
  std::size_t stripe_;
  FlightGroup::Seat seat_;
};

// The one who makes an answer. Destroyed without end(), it lets somebody else lead.
class AnswerMaker {
 public:
  AnswerMaker(AnswerStore& store, std::size_t stripe, FlightGroup::FlightId flight)
      : store_(store), stripe_(stripe), flight_(flight) {}
  ~AnswerMaker();
  AnswerMaker(const AnswerMaker&) = delete;

  // `cancel` is called once, on any thread, when nobody reads any more; now, if that is so already.
  void on_nobody_left(std::function<void()> cancel);
  bool wanted() const;
  // Waits while even the fastest reader is far behind. cancelled: nobody reads any more, or the
  // waiting coroutine was cancelled.
  net::Task<Result<void>> append(AnswerPiecePtr piece);
  void end(FlightGroup::Ending ending);

 private:
  AnswerStore& store_;
  std::size_t stripe_;
  FlightGroup::FlightId flight_;
  bool ended_ = false;
};

struct AnswerReader::Next {
  Kind kind = Kind::failed;
  AnswerPiecePtr piece;
  std::unique_ptr<AnswerMaker> maker;
};

// How a request was answered.
enum class CacheUse { hit, miss, joined };

class AnswerStore {
 public:
  struct Options {
    std::size_t cache_bytes = 64u << 20;
    std::size_t flight_bytes = 4u << 20;  // of an answer under way, for who joins late
    std::uint64_t seed = 0;               // random: clients choose the keys
  };
  struct Seat {
    std::unique_ptr<AnswerReader> reader;
    std::unique_ptr<AnswerMaker> maker;  // of who leads
  };

  // `shared` may be null.
  AnswerStore(Options options, telemetry::Metrics& metrics, SharedAnswers* shared = nullptr);

  std::optional<AnswerCache::Found> find(const AnswerKey& key);
  // The same, asking the shared level too. `ttl`: how long an answer found there is kept here.
  net::Task<std::optional<AnswerCache::Found>> find_anywhere(AnswerKey key,
                                                             std::chrono::milliseconds ttl);
  void keep(const AnswerKey& key, KeptAnswerPtr answer, std::chrono::milliseconds ttl,
            std::chrono::nanoseconds age = std::chrono::nanoseconds(0));
  // At the shared level.
  net::Task<void> share(AnswerKey key, KeptAnswerPtr answer, std::chrono::milliseconds ttl);
  std::size_t largest() const;  // answer that may be kept, in bytes

  Seat join(const AnswerKey& key);

  void count(CacheUse use) const;
  void tick();  // drops what is too old
  void set_limit(std::size_t bytes);
  std::size_t bytes() const;
  std::size_t flights() const;

 private:
  friend class AnswerReader;
  friend class AnswerMaker;
  static constexpr std::size_t kStripes = 8;
  using Wakeups = std::vector<std::shared_ptr<net::Wakeup>>;
  struct Maker {
    std::shared_ptr<net::Wakeup> waiting;
    std::function<void()> cancel;
  };
  struct Stripe {
    mutable std::mutex mutex;
    std::unique_ptr<FlightGroup> group;
    std::unordered_map<FlightGroup::ReaderId, std::shared_ptr<net::Wakeup>> readers;
    std::unordered_map<FlightGroup::FlightId, Maker> makers;
  };
  // What is to be called when the lock is gone.
  struct Calls {
    Wakeups wake;
    std::function<void()> cancel;
    void run();
  };

  static void collect(Stripe& stripe, FlightGroup::FlightId flight,
                      const FlightGroup::Effects& effects, Calls& calls);
  void leave(std::size_t stripe, const FlightGroup::Seat& seat);
  void note(const AnswerCache::Put& put);

  SharedAnswers* shared_;
  mutable std::mutex cache_mutex_;
  AnswerCache cache_;
  std::array<Stripe, kStripes> stripes_;
  telemetry::Counter hits_, misses_, joined_, evictions_;
  telemetry::Gauge bytes_;
};

}  // namespace corral::gateway

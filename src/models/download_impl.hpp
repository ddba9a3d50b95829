// The inside of a download: one file's plan, its connections, its hash. For download*.cpp only.
// Thread rule: belongs to its shard.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "models/core/range_answer.hpp"
#include "models/core/ranges.hpp"
#include "models/download.hpp"
#include "models/sha256.hpp"
#include "net/one_shot.hpp"

namespace corral::models {

// Wakes one waiting coroutine; a ring before the wait is not lost.
class Bell {
 public:
  Bell() : wakeup_(net::Wakeup::create()) {}
  void ring() { wakeup_->notify(); }
  net::Task<void> wait() {
    auto current = wakeup_;
    co_await current->wait_uncancellable();
    wakeup_ = net::Wakeup::create();
  }

 private:
  std::shared_ptr<net::Wakeup> wakeup_;
};

struct Download::Impl {
  Impl(DownloadParts p, DownloadJob j);

  net::Task<Result<Downloaded>> run();
  void stop();

  // Before and after: download.cpp.
  net::Task<Result<void>> open();
  net::Task<Result<void>> fetch_all();
  net::Task<Result<void>> begin_anew();
  net::Task<Result<Downloaded>> finish();
  net::Task<Result<void>> make_plan(std::uint64_t size);
  net::Task<void> save();
  net::Task<Result<void>> write_note();
  net::Task<void> hash_on();
  void leave();  // a coroutine of `tasks` has ended
  bool going() const { return !stopping && !again && !failure; }
  Error give_up(Error error);
  Error begin_again(Error why);
  bool hashed_all() const { return plan && plan->complete() && order.at() == plan->size(); }

  // Connections: download_worker.cpp.
  net::Task<void> work();
  enum class Asked { some, nothing_left };
  net::Task<Result<Asked>> fetch_next();
  net::Task<Result<void>> fetch(std::optional<Piece>& piece);
  net::Task<Result<WebAnswer>> ask(const RangeAsk& wanted);
  net::Task<Result<std::optional<Piece>>> accept(RangeVerdict verdict, std::optional<Piece> piece);
  net::Task<Result<std::optional<Piece>>> accept_whole(RangeVerdict verdict,
                                                       std::optional<Piece> piece);
  net::Task<Result<void>> receive(net::ClientResponse& from, Piece piece, std::uint64_t end);
  net::Task<Result<void>> write(const Piece& piece, std::uint64_t at, std::string& buffer);
  net::Task<Result<void>> pause_for(std::uint64_t bytes);
  Error refused(const WebAnswer& answer, bool direct);
  void learn_speed(std::uint64_t bytes, sys::Steady since);
  void start_workers();

  DownloadParts parts;
  DownloadJob job;
  net::TaskGroup tasks;
  std::unique_ptr<sys::LargeFile> file;
  std::optional<RangePlan> plan;
  std::string tag;
  std::string location;     // where redirects led; empty: ask at job.url
  bool one_stream = false;  // the server sends no ranges
  bool endless = false;     // the size is known at the end only
  bool again = false;       // the bytes are of no use: begin anew
  unsigned changes = 0;     // of the file at its source
  bool stopping = false;
  std::optional<Error> failure;  // why it ends
  std::optional<Error> last;     // of a connection that gave up
  unsigned workers = 0;
  unsigned active = 0;  // coroutines of `tasks`
  bool saving = false;
  sys::Steady saved{};
  std::uint64_t saved_bytes = 0;
  std::uint64_t piece_bytes;
  HashOrder order;
  Sha256 hash;
  Bell hash_bell;
  Bell done_bell;
};

}  // namespace corral::models

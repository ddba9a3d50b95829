// One request's race of two attempts, side by side on its shard.
// Thread rule: belongs to the shard of its request. Lifecycle: `co_await close()` before the end.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>

#include "gateway/core/hedge.hpp"
#include "gateway/flight.hpp"
#include "net/shard.hpp"

namespace corral::gateway {

class HedgeRun {
 public:
  using Lane = HedgeRace::Lane;
  enum class Event { timer, answered, failed };
  struct News {
    Event event;
    Lane lane;
  };

  HedgeRun();

  net::TaskGroup& tasks(Lane lane) { return *lanes_[static_cast<std::size_t>(lane)].tasks; }
  inference::Request& request(Lane lane) { return lanes_[static_cast<std::size_t>(lane)].request; }
  Result<void>& ending(Lane lane) { return lanes_[static_cast<std::size_t>(lane)].ending; }
  Dispatched& result(Lane lane) { return lanes_[static_cast<std::size_t>(lane)].result; }
  HedgeRace& race() { return race_; }

  void start_timer(std::chrono::milliseconds delay);
  void tell(News news);
  net::Task<std::optional<News>> next();  // none: the caller was cancelled
  net::Task<void> close();

 private:
  struct LaneState {
    std::unique_ptr<net::TaskGroup> tasks;
    inference::Request request;
    Result<void> ending;
    Dispatched result;
  };
  net::Task<void> timer(std::chrono::milliseconds delay);

  std::array<LaneState, 2> lanes_;
  net::TaskGroup timer_;
  HedgeRace race_;
  std::deque<News> news_;
  std::shared_ptr<net::OneShot<bool>> waiting_;
};

}  // namespace corral::gateway

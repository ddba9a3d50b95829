// The containers that carry our label, kept as a list that is always at hand: asked for once, and
// again whenever the engine's stream of events says that something changed, when that stream was
// lost and is back, and now and then in any case.
//
// Thread rule: belongs to its shard. Lifecycle: construct, start(), `co_await stop()`; it outlives
// whoever asks it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engines/docker/docker_client.hpp"
#include "net/shard.hpp"
#include "sys/clock.hpp"
#include "telemetry/log.hpp"

namespace corral::engines::docker {

struct Listing {
  std::vector<ContainerSummary> containers;
  sys::Steady asked;  // what happened after this may not be in it
};

struct WatchPace {
  std::chrono::milliseconds gather{20};      // events that come together are one question
  std::chrono::milliseconds again{30'000};   // also without an event
  std::chrono::milliseconds reconnect{500};  // after the stream was lost; doubles
  std::chrono::milliseconds reconnect_most{15'000};
};

class ContainerWatch {
 public:
  // `changed` is called with each new list.
  ContainerWatch(DockerClient& docker, net::Shard& shard, const sys::Clock& clock,
                 telemetry::Logger log, std::function<void(const Listing&)> changed,
                 WatchPace pace = {});

  void start();
  net::Task<void> stop();
  void refresh();  // ask again soon

  // nullptr until the first answer.
  const std::shared_ptr<const Listing>& listing() const { return listing_; }
  // Why the engine cannot be asked now.
  const std::optional<Error>& problem() const { return problem_; }

 private:
  net::Task<void> follow();
  net::Task<void> look_now_and_then();
  net::Task<void> ask();
  void note(std::optional<Error> problem);

  DockerClient& docker_;
  const sys::Clock& clock_;
  telemetry::Logger log_;
  std::function<void(const Listing&)> changed_;
  WatchPace pace_;
  net::TaskGroup tasks_;
  std::shared_ptr<const Listing> listing_;
  std::optional<Error> problem_;
  bool wanted_ = false;
  bool asking_ = false;
  bool stopping_ = false;
};

}  // namespace corral::engines::docker

#include "engines/docker/container_watch.hpp"

#include <algorithm>

namespace corral::engines::docker {

ContainerWatch::ContainerWatch(DockerClient& docker, net::Shard& shard, const sys::Clock& clock,
                               telemetry::Logger log, std::function<void(const Listing&)> changed,
                               WatchPace pace)
    : docker_(docker),
      clock_(clock),
      log_(std::move(log)),
      changed_(std::move(changed)),
      pace_(pace),
      tasks_(shard) {}

void ContainerWatch::start() {
  tasks_.spawn(follow());
  tasks_.spawn(look_now_and_then());
}

net::Task<void> ContainerWatch::stop() {
  stopping_ = true;
  co_await tasks_.close();
}

void ContainerWatch::refresh() {
  wanted_ = true;
  if (asking_) return;
  asking_ = true;
  if (!tasks_.spawn(ask())) asking_ = false;
}

net::Task<void> ContainerWatch::ask() {
  while (wanted_) {
    if (!co_await net::sleep_for(pace_.gather)) break;
    wanted_ = false;
    auto asked = clock_.now();
    auto found = co_await docker_.list();
    if (!found) {
      if (stopping_) break;
      note(std::move(found).error());
      continue;
    }
    note(std::nullopt);
    listing_ = std::make_shared<const Listing>(Listing{std::move(*found), asked});
    changed_(*listing_);
  }
  asking_ = false;
}

// One line when it goes, one when it is back.
void ContainerWatch::note(std::optional<Error> problem) {
  if (problem && !problem_) {
    log_.warn("containers cannot be watched", {{"error", problem->describe()}});
  }
  if (!problem && problem_) log_.info("containers are watched again");
  problem_ = std::move(problem);
}

net::Task<void> ContainerWatch::follow() {
  auto pause = pace_.reconnect;
  for (;;) {
    bool opened = false;
    // What happened before the stream began is seen by asking once it has.
    auto ended = co_await docker_.events(
        [this, &opened] {
          opened = true;
          refresh();
        },
        [this](const DockerEvent&) { refresh(); });
    if (stopping_) co_return;
    if (opened) {
      pause = pace_.reconnect;
      refresh();  // which says why, if there is more to it than the end of a stream
    } else if (!ended) {
      note(std::move(ended).error());
    }
    if (!co_await net::sleep_for(pause)) co_return;
    pause = std::min(pause * 2, pace_.reconnect_most);
  }
}

net::Task<void> ContainerWatch::look_now_and_then() {
  while (co_await net::sleep_for(pace_.again)) refresh();
}

}  // namespace corral::engines::docker

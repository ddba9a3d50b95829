#include "gateway/hedge_run.hpp"

namespace corral::gateway {

using Lane = HedgeRace::Lane;

HedgeRun::HedgeRun() : timer_(*net::Shard::current()) {
  for (auto& lane : lanes_) lane.tasks = std::make_unique<net::TaskGroup>(*net::Shard::current());
}

void HedgeRun::start_timer(std::chrono::milliseconds delay) { timer_.spawn(timer(delay)); }

net::Task<void> HedgeRun::timer(std::chrono::milliseconds delay) {
  if (co_await net::sleep_for(delay)) tell({Event::timer, Lane::first});
}

void HedgeRun::tell(News news) {
  news_.push_back(news);
  if (waiting_) waiting_->fulfil(true);
}

net::Task<std::optional<HedgeRun::News>> HedgeRun::next() {
  if (news_.empty()) {
    waiting_ = net::OneShot<bool>::create();
    auto told = co_await waiting_->wait();
    waiting_.reset();
    if (!told) co_return std::nullopt;
  }
  News news = news_.front();
  news_.pop_front();
  co_return news;
}

net::Task<void> HedgeRun::close() {
  co_await timer_.close();
  for (auto& lane : lanes_) co_await lane.tasks->close();
}

// --- the flight's part ---------------------------------------------------------------------------

std::optional<std::chrono::milliseconds> Flight::hedge_delay() const {
  if (!route_->settings().hedge) return std::nullopt;
  return route_->state->hedge_delay(std::chrono::steady_clock::now());
}

net::Task<void> Flight::run_lane(HedgeRun& hedge, Lane lane, Placement place) {
  hedge.request(lane) = request_;
  auto ending = co_await attempt(std::move(place), hedge.request(lane), hedge.result(lane));
  auto event = ending ? HedgeRun::Event::answered : HedgeRun::Event::failed;
  hedge.ending(lane) = std::move(ending);
  hedge.tell({event, lane});
}

// The second attempt begins when the first takes longer than nearly all do; the first of the two to
// have an answer wins, and the other is cancelled.
net::Task<Result<void>> Flight::attempt_with_hedge(Placement place, std::chrono::milliseconds delay,
                                                   Dispatched& result) {
  HedgeRun hedge;
  hedge.tasks(Lane::first).spawn(run_lane(hedge, Lane::first, std::move(place)));
  hedge.start_timer(delay);
  Result<void> ending = fail(ErrorCode::cancelled, "the client left");
  for (;;) {
    auto news = co_await hedge.next();
    if (!news) break;
    HedgeRace::Step step;
    if (news->event == HedgeRun::Event::timer) {
      auto now = std::chrono::steady_clock::now();
      // Whoever waits for a place comes before a second attempt of another.
      if (route_->state->queue().waiting() > 0 || !another_alive(now)) continue;
      auto second = take(now);
      if (!second || !*second) continue;
      // Only what is certain to be sent costs of the budget.
      if (!route_->state->may_hedge(now) || !hedge.race().start_second()) {
        second->return_unused();
        continue;
      }
      ++attempts_;
      leave_out(*second->state());
      route_->state->counters.hedges.fetch_add(1, std::memory_order_relaxed);
      hedge.tasks(Lane::second).spawn(run_lane(hedge, Lane::second, std::move(*second)));
    } else if (news->event == HedgeRun::Event::answered) {
      step = hedge.race().answered(news->lane);
    } else {
      step = hedge.race().failed(news->lane, hedge.ending(news->lane).error());
    }
    for (auto lane : {Lane::first, Lane::second}) {
      if (step.cancels(lane)) hedge.tasks(lane).cancel();
    }
    if (step.lost) {
      ending = std::unexpected(*hedge.race().error());
      break;
    }
    if (step.winner) {
      ending = Result<void>();
      result = std::move(hedge.result(*step.winner));
      result.hedged = *step.winner == Lane::second;
      if (result.hedged) {
        route_->state->counters.hedges_won.fetch_add(1, std::memory_order_relaxed);
      }
      break;
    }
  }
  co_await hedge.close();
  co_return ending;
}

}  // namespace corral::gateway

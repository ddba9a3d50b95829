#include "gateway/route_queue.hpp"

#include <algorithm>

namespace corral::gateway {
namespace {

FairQueue::Options options_for(std::size_t limit) {
  FairQueue::Options options;
  options.limit = limit;
  return options;
}

Priority priority_of(config::Priority priority) {
  switch (priority) {
    case config::Priority::low: return Priority::low;
    case config::Priority::normal: return Priority::normal;
    case config::Priority::high: return Priority::high;
  }
  return Priority::normal;
}

std::uint32_t whole_ms(std::optional<WorkEstimate::Duration> work) {
  if (!work) return 0;
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(*work).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 1, 24 * 3'600'000));
}

}  // namespace

Turn::~Turn() { queue_.leave(ticket_); }

net::Task<QueueSignal> Turn::wait() {
  std::shared_ptr<Slot> slot;
  {
    std::lock_guard lock(queue_.mutex_);
    if (pending_) co_return *std::exchange(pending_, std::nullopt);
    slot = slot_ = Slot::create();
  }
  auto signal = co_await slot->wait();
  if (!signal) co_return QueueSignal{};
  co_return std::move(*signal);
}

void RouteQueue::hand_over(Turn& turn, QueueSignal signal) {
  if (auto slot = std::exchange(turn.slot_, nullptr)) {
    slot->fulfil(std::move(signal));
  } else {
    turn.pending_ = std::move(signal);
  }
}

// The waiter is out of the queue and learns why.
void RouteQueue::deliver(FairQueue::Ticket ticket, QueueSignal signal) {
  auto node = waiters_.extract(ticket);
  count();
  if (!node.empty() && node.mapped().turn != nullptr) {
    hand_over(*node.mapped().turn, std::move(signal));
  }
}

RouteQueue::RouteQueue(std::size_t limit) : limit_(limit), queue_(options_for(limit)) {}

std::unique_ptr<Turn> RouteQueue::join(QueueRequest request, Time now) {
  FairQueue::Request wanted;
  wanted.principal = request.principal;
  wanted.priority = priority_of(request.priority);
  wanted.cost = request.cost;
  wanted.deadline = request.deadline;
  wanted.work_ms = whole_ms(request.expected);
  std::lock_guard lock(mutex_);
  auto answer = queue_.push(wanted, now);
  if (answer.pushed_out) deliver(*answer.pushed_out, {QueueSignal::Kind::displaced, {}, {}});
  if (answer.outcome != FairQueue::Outcome::queued) return nullptr;
  auto place = queue_.place(answer.ticket, now);
  auto turn = std::make_unique<Turn>(*this, answer.ticket, place ? place->position : 1);
  waiters_.emplace(answer.ticket, Waiter{std::move(request), turn.get()});
  count();
  return turn;
}

void RouteQueue::leave(FairQueue::Ticket ticket) {
  std::lock_guard lock(mutex_);
  if (waiters_.erase(ticket) == 0) return;
  queue_.remove(ticket);
  count();
}

void RouteQueue::pump(Time now) {
  // A place that its owner does not take any more goes back only when the lock is gone.
  std::vector<std::shared_ptr<Placement>> given;
  std::lock_guard lock(mutex_);
  while (auto next = queue_.peek(now)) {
    // Whose turn it is waits for any place of this route: if there is none for it, there is none.
    auto place = waiters_.at(next->ticket).request.take(now);
    if (!place) break;
    queue_.pop(now);
    given.push_back(std::make_shared<Placement>(std::move(*place)));
    deliver(next->ticket, {QueueSignal::Kind::granted, given.back(), {}});
  }
}

void RouteQueue::tick(Time now, bool updates) {
  std::lock_guard lock(mutex_);
  for (auto ticket : queue_.expire(now)) deliver(ticket, {QueueSignal::Kind::expired, {}, {}});
  if (!updates) return;
  for (auto& [ticket, waiter] : waiters_) {
    if (!waiter.request.updates || waiter.turn->pending_) continue;
    auto place = queue_.place(ticket, now);
    if (!place) continue;
    QueueSignal update{QueueSignal::Kind::update, {}, {}};
    update.where.position = place->position;
    update.where.estimate = wait_of(*place, now);
    hand_over(*waiter.turn, std::move(update));
  }
}

void RouteQueue::set_forecast(WaitForecast forecast) {
  std::lock_guard lock(mutex_);
  forecast_ = std::move(forecast);
}

std::optional<std::chrono::milliseconds> RouteQueue::wait_of(const FairQueue::Place& place,
                                                             Time now) const {
  if (auto wait = forecast_.wait(place.position - 1, place.work_before, now)) return wait;
  return place.wait;
}

std::optional<std::chrono::milliseconds> RouteQueue::wait_of_newcomer(Time now) const {
  std::lock_guard lock(mutex_);
  if (auto wait = forecast_.wait(queue_.size(), queue_.work(), now)) return wait;
  return queue_.wait_at(queue_.size() + 1, now);
}

}  // namespace corral::gateway

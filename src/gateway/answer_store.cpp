#include "gateway/answer_store.hpp"

#include <utility>

namespace corral::gateway {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kDropsATick = 1000;

Error nobody_left() { return fail(ErrorCode::cancelled, "nobody reads the answer any more"); }

}  // namespace

// --- readers -------------------------------------------------------------------------------------

AnswerReader::~AnswerReader() { store_.leave(stripe_, seat_); }

net::Task<AnswerReader::Next> AnswerReader::next() {
  auto& stripe = store_.stripes_[stripe_];
  for (;;) {
    std::shared_ptr<net::Wakeup> wait;
    FlightGroup::Read read;
    AnswerStore::Calls calls;
    {
      std::lock_guard lock(stripe.mutex);
      read = stripe.group->read(seat_);
      if (read.kind == FlightGroup::ReadKind::wait) {
        wait = stripe.readers[seat_.reader] = net::Wakeup::create();
      }
      FlightGroup::Effects effects;
      effects.wake_maker = read.wake_maker;
      AnswerStore::collect(stripe, seat_.flight, effects, calls);
    }
    calls.run();
    if (wait) {
      bool woken = co_await wait->wait();
      if (!woken) co_return Next{Kind::left, nullptr, nullptr};
      continue;
    }
    switch (read.kind) {
      case FlightGroup::ReadKind::piece:
        co_return Next{Kind::piece, std::move(read.piece), nullptr};
      case FlightGroup::ReadKind::complete: co_return Next{Kind::complete, nullptr, nullptr};
      case FlightGroup::ReadKind::cut: co_return Next{Kind::cut, nullptr, nullptr};
      case FlightGroup::ReadKind::lead:
        co_return Next{Kind::lead, nullptr,
                       std::make_unique<AnswerMaker>(store_, stripe_, seat_.flight)};
      case FlightGroup::ReadKind::wait:
      case FlightGroup::ReadKind::failed: co_return Next{Kind::failed, nullptr, nullptr};
    }
  }
}

// --- makers --------------------------------------------------------------------------------------

AnswerMaker::~AnswerMaker() { end(FlightGroup::Ending::unled); }

void AnswerMaker::on_nobody_left(std::function<void()> cancel) {
  auto& stripe = store_.stripes_[stripe_];
  {
    std::lock_guard lock(stripe.mutex);
    if (stripe.group->has_readers(flight_)) {
      stripe.makers[flight_].cancel = std::move(cancel);
      return;
    }
  }
  cancel();
}

bool AnswerMaker::wanted() const {
  auto& stripe = store_.stripes_[stripe_];
  std::lock_guard lock(stripe.mutex);
  return stripe.group->has_readers(flight_);
}

net::Task<Result<void>> AnswerMaker::append(AnswerPiecePtr piece) {
  auto& stripe = store_.stripes_[stripe_];
  for (;;) {
    std::shared_ptr<net::Wakeup> wait;
    AnswerStore::Calls calls;
    {
      std::lock_guard lock(stripe.mutex);
      if (!stripe.group->has_readers(flight_)) co_return std::unexpected(nobody_left());
      if (stripe.group->may_append(flight_)) {
        auto effects = stripe.group->append(flight_, std::move(piece));
        AnswerStore::collect(stripe, flight_, effects, calls);
      } else {
        wait = stripe.makers[flight_].waiting = net::Wakeup::create();
      }
    }
    calls.run();
    if (!wait) co_return Result<void>();
    bool woken = co_await wait->wait();
    if (!woken) co_return std::unexpected(nobody_left());
  }
}

void AnswerMaker::end(FlightGroup::Ending ending) {
  if (std::exchange(ended_, true)) return;
  auto& stripe = store_.stripes_[stripe_];
  AnswerStore::Calls calls;
  decltype(stripe.makers)::node_type own;  // what it captured dies without the lock
  {
    std::lock_guard lock(stripe.mutex);
    auto effects = stripe.group->end(flight_, ending);
    AnswerStore::collect(stripe, flight_, effects, calls);
    own = stripe.makers.extract(flight_);
  }
  calls.run();
}

// --- the store -----------------------------------------------------------------------------------

AnswerStore::AnswerStore(Options options, telemetry::Metrics& metrics, SharedAnswers* shared)
    : shared_(shared),
      cache_({options.cache_bytes, options.seed}),
      hits_(metrics.counter("corral_cache_hits_total", "Requests answered from the cache.")),
      misses_(metrics.counter("corral_cache_misses_total",
                              "Requests that could have been answered from the cache, but were "
                              "not found in it.")),
      joined_(metrics.counter("corral_cache_joined_total",
                              "Requests that shared the answer of one like them, made then.")),
      evictions_(metrics.counter("corral_cache_evictions_total",
                                 "Kept answers that left for want of space.")),
      bytes_(metrics.gauge("corral_cache_bytes", "Memory of kept answers.")) {
  for (auto& stripe : stripes_) {
    stripe.group = std::make_unique<FlightGroup>(options.flight_bytes, options.seed);
  }
}

std::optional<AnswerCache::Found> AnswerStore::find(const AnswerKey& key) {
  auto now = SteadyClock::now();
  std::lock_guard lock(cache_mutex_);
  return cache_.find(key, now);
}

net::Task<std::optional<AnswerCache::Found>> AnswerStore::find_anywhere(
    AnswerKey key, std::chrono::milliseconds ttl) {
  auto found = find(key);
  if (found || shared_ == nullptr) co_return found;
  auto shared = co_await shared_->find(key);
  if (!shared) co_return std::nullopt;
  keep(key, shared->answer, ttl, shared->age);
  co_return AnswerCache::Found{std::move(shared->answer), shared->age};
}

void AnswerStore::note(const AnswerCache::Put& put) {
  if (put.evicted > 0) evictions_.add(static_cast<double>(put.evicted));
  bytes_.set(static_cast<double>(bytes()));
}

void AnswerStore::keep(const AnswerKey& key, KeptAnswerPtr answer, std::chrono::milliseconds ttl,
                       std::chrono::nanoseconds age) {
  auto now = SteadyClock::now();
  AnswerCache::Put put;
  {
    std::lock_guard lock(cache_mutex_);
    put = cache_.put(key, std::move(answer), ttl, now, age);
  }
  note(put);
}

net::Task<void> AnswerStore::share(AnswerKey key, KeptAnswerPtr answer,
                                   std::chrono::milliseconds ttl) {
  if (shared_ != nullptr && ttl > ttl.zero()) co_await shared_->keep(key, std::move(answer), ttl);
}

std::size_t AnswerStore::largest() const {
  std::lock_guard lock(cache_mutex_);
  return cache_.largest();
}

void AnswerStore::count(CacheUse use) const {
  switch (use) {
    case CacheUse::hit: hits_.add(); break;
    case CacheUse::miss: misses_.add(); break;
    case CacheUse::joined: joined_.add(); break;
  }
}

void AnswerStore::tick() {
  auto now = SteadyClock::now();
  AnswerCache::Put put;
  {
    std::lock_guard lock(cache_mutex_);
    put.dropped = cache_.expire(now, kDropsATick);
  }
  note(put);
}

void AnswerStore::set_limit(std::size_t bytes) {
  AnswerCache::Put put;
  {
    std::lock_guard lock(cache_mutex_);
    put = cache_.set_limit(bytes);
  }
  note(put);
}

std::size_t AnswerStore::bytes() const {
  std::lock_guard lock(cache_mutex_);
  return cache_.bytes();
}

std::size_t AnswerStore::flights() const {
  std::size_t sum = 0;
  for (const auto& stripe : stripes_) {
    std::lock_guard lock(stripe.mutex);
    sum += stripe.group->flights();
  }
  return sum;
}

AnswerStore::Seat AnswerStore::join(const AnswerKey& key) {
  std::size_t index = key.back() % kStripes;
  FlightGroup::Seat seat;
  {
    std::lock_guard lock(stripes_[index].mutex);
    seat = stripes_[index].group->join(key);
  }
  Seat result;
  result.reader = std::make_unique<AnswerReader>(*this, index, seat);
  if (seat.leads) result.maker = std::make_unique<AnswerMaker>(*this, index, seat.flight);
  return result;
}

void AnswerStore::leave(std::size_t index, const FlightGroup::Seat& seat) {
  auto& stripe = stripes_[index];
  Calls calls;
  decltype(stripe.readers)::node_type own;  // dies without the lock
  {
    std::lock_guard lock(stripe.mutex);
    own = stripe.readers.extract(seat.reader);
    collect(stripe, seat.flight, stripe.group->leave(seat), calls);
  }
  calls.run();
}

void AnswerStore::collect(Stripe& stripe, FlightGroup::FlightId flight,
                          const FlightGroup::Effects& effects, Calls& calls) {
  for (auto reader : effects.wake) {
    auto found = stripe.readers.find(reader);
    if (found == stripe.readers.end()) continue;
    calls.wake.push_back(std::move(found->second));
    stripe.readers.erase(found);
  }
  if (!effects.wake_maker && !effects.cancel_maker) return;
  auto maker = stripe.makers.find(flight);
  if (maker == stripe.makers.end()) return;
  if (maker->second.waiting) calls.wake.push_back(std::exchange(maker->second.waiting, nullptr));
  if (effects.cancel_maker) calls.cancel = std::exchange(maker->second.cancel, nullptr);
}

void AnswerStore::Calls::run() {
  for (const auto& each : wake) each->notify();
  if (cancel) cancel();
}

}  // namespace corral::gateway

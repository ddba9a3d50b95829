// A binding that answers what it is told to, and models of ours that need no engine, for tests of
// what stands above them.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/binding.hpp"
#include "gateway/flight.hpp"

namespace corral::gateway {

// Holds up whoever waits at it until it is opened.
class Gate {
 public:
  void open() { open_ = true; }
  net::Task<Result<void>> pass() const {
    while (!open_) CORRAL_CO_CHECK(co_await net::sleep_for(std::chrono::milliseconds(1)));
    co_return Result<void>();
  }

 private:
  std::atomic<bool> open_{false};
};

// What one call meets.
struct Play {
  bool relayable = true;
  std::vector<std::string> pieces;
  std::size_t token_at = 0;  // the piece with the first token
  std::vector<inference::Event> events;
  std::optional<Error> refusal;             // of the call
  std::optional<Error> error;               // after the pieces
  std::shared_ptr<const Gate> gate;         // before it is accepted
  std::optional<std::size_t> stall_before;  // this piece never comes: a timeout
  inference::Usage usage;

  static Play answer(std::string text) { return {.pieces = {std::move(text)}}; }
  static Play refuse(Error error) { return {.refusal = std::move(error)}; }
};

// How many answers there are at once.
struct Living {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
};

// Gives out its pieces, then the error if there is one.
class PlayedAnswer final : public bindings::Answer {
 public:
  PlayedAnswer(Play play, std::chrono::milliseconds patience, std::shared_ptr<Living> living)
      : play_(std::move(play)), patience_(patience), living_(std::move(living)) {
    int now = ++living_->now;
    int most = living_->most;
    while (now > most && !living_->most.compare_exchange_weak(most, now)) {}
  }
  ~PlayedAnswer() override { --living_->now; }

  bool relayable() const override { return play_.relayable; }
  net::Task<Result<std::string_view>> next_bytes() override {
    if (play_.stall_before == at_) {
      CORRAL_CO_CHECK(co_await net::sleep_for(patience_));
      co_return std::unexpected(fail(ErrorCode::timeout, "no token came"));
    }
    if (at_ < play_.pieces.size()) {
      if (at_ == play_.token_at) first_ = std::chrono::steady_clock::now();
      co_return std::string_view(play_.pieces[at_++]);
    }
    if (play_.error) co_return std::unexpected(*play_.error);
    co_return std::string_view{};
  }
  net::Task<Result<std::optional<inference::Event>>> next_event() override {
    if (play_.stall_before == at_) {
      CORRAL_CO_CHECK(co_await net::sleep_for(patience_));
      co_return std::unexpected(fail(ErrorCode::timeout, "no token came"));
    }
    if (at_ < play_.events.size()) {
      if (at_ == play_.token_at) first_ = std::chrono::steady_clock::now();
      co_return play_.events[at_++];
    }
    if (play_.error) co_return std::unexpected(*play_.error);
    co_return std::optional<inference::Event>{};
  }
  void set_patience(std::chrono::milliseconds limit) override { patience_ = limit; }
  const inference::Usage& usage() const override { return play_.usage; }
  std::optional<std::chrono::steady_clock::time_point> first_token_at() const override {
    return first_;
  }

 private:
  Play play_;
  std::chrono::milliseconds patience_;
  std::shared_ptr<Living> living_;
  std::size_t at_ = 0;
  std::optional<std::chrono::steady_clock::time_point> first_;
};

// Endpoints are told apart by the ports of their addresses. Each call at a port meets the next of
// the plays that were queued for it, or else what is played there always.
class PlayedBinding final : public bindings::Binding {
 public:
  struct Call {
    std::uint16_t port = 0;
    std::string model;
    std::string api_key;
    bool defaults = false;
    bindings::CallTimeouts timeouts;
  };

  explicit PlayedBinding(std::string kind = "openai") : kind_(std::move(kind)) {}
  std::string_view kind() const override { return kind_; }

  net::Task<Result<std::unique_ptr<bindings::Answer>>> open(
      const bindings::EndpointAddress& address, const inference::Request& request,
      bindings::CallTimeouts timeouts) const override {
    std::uint16_t port = address.target.port;
    Play play =
        next({port, request.backend_model, address.api_key, request.defaults != nullptr, timeouts});
    if (play.gate) CORRAL_CO_CHECK(co_await play.gate->pass());
    if (play.refusal) co_return std::unexpected(*play.refusal);
    co_return std::make_unique<PlayedAnswer>(std::move(play), timeouts.first_token, living(port));
  }

  net::Task<Result<void>> probe(const bindings::EndpointAddress& address,
                                std::chrono::milliseconds) const override {
    std::lock_guard lock(mutex_);
    Place& place = places_[address.target.port];
    ++place.probes;
    if (place.dead) co_return std::unexpected(fail(ErrorCode::unavailable, "nobody listens"));
    co_return Result<void>();
  }
  net::Task<Result<void>> validate(const bindings::EndpointAddress& address, std::string model,
                                   bindings::CallTimeouts) const override {
    std::lock_guard lock(mutex_);
    Place& place = places_[address.target.port];
    place.validated.push_back(model);
    if (place.broken || model == place.broken_model) {
      co_return std::unexpected(fail(ErrorCode::upstream, "it only looks well"));
    }
    co_return Result<void>();
  }

  void always(std::uint16_t port, Play play) {
    std::lock_guard lock(mutex_);
    places_[port].always = std::move(play);
  }
  void once(std::uint16_t port, Play play) {
    std::lock_guard lock(mutex_);
    places_[port].queued.push_back(std::move(play));
  }
  // What its probes say.
  void set_dead(std::uint16_t port, bool dead) {
    std::lock_guard lock(mutex_);
    places_[port].dead = dead;
  }
  // What real requests of the health checks say.
  void set_broken(std::uint16_t port, bool broken) {
    std::lock_guard lock(mutex_);
    places_[port].broken = broken;
  }
  void set_broken_model(std::uint16_t port, std::string model) {
    std::lock_guard lock(mutex_);
    places_[port].broken_model = std::move(model);
  }

  std::vector<Call> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  int opened() const { return static_cast<int>(calls().size()); }
  int opened(std::uint16_t port) const {
    int count = 0;
    for (const auto& call : calls()) count += call.port == port ? 1 : 0;
    return count;
  }
  int probes(std::uint16_t port) const {
    std::lock_guard lock(mutex_);
    return places_[port].probes;
  }
  std::vector<std::string> validated(std::uint16_t port) const {
    std::lock_guard lock(mutex_);
    return places_[port].validated;
  }
  std::shared_ptr<Living> living(std::uint16_t port) const {
    std::lock_guard lock(mutex_);
    return places_[port].living;
  }

 private:
  struct Place {
    std::deque<Play> queued;
    std::optional<Play> always;
    std::shared_ptr<Living> living = std::make_shared<Living>();
    bool dead = false;
    bool broken = false;
    std::string broken_model;
    int probes = 0;
    std::vector<std::string> validated;
  };

  Play next(Call call) const {
    std::lock_guard lock(mutex_);
    Place& place = places_[call.port];
    calls_.push_back(std::move(call));
    if (!place.queued.empty()) {
      Play play = std::move(place.queued.front());
      place.queued.pop_front();
      return play;
    }
    return place.always.value_or(Play::answer("from " + std::to_string(calls_.back().port)));
  }

  std::string kind_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint16_t, Place> places_;
  mutable std::vector<Call> calls_;
};

// Models of ours: those that are ready, and what starting one comes to.
class PlayedSource final : public EndpointSource {
 public:
  Target ready(const ModelName& model, inference::Operation) const override {
    std::lock_guard lock(mutex_);
    ++asked_;
    auto found = ready_.find(model.str());
    return found == ready_.end() ? Target{} : found->second;
  }
  net::Task<Result<Target>> ensure(ModelName model, inference::Operation, OnWait on_wait) override {
    std::shared_ptr<const Gate> gate;
    std::vector<QueuePlace> progress;
    {
      std::lock_guard lock(mutex_);
      ++ensured_;
      gate = gate_;
      progress = progress_;
    }
    for (const auto& each : progress) {
      if (on_wait) co_await on_wait(each);
      CORRAL_CO_CHECK(co_await net::sleep_for(pause_));
    }
    if (gate) CORRAL_CO_CHECK(co_await gate->pass());
    std::lock_guard lock(mutex_);
    auto& starts = starts_[model.str()];
    if (starts.empty()) {
      co_return std::unexpected(fail(ErrorCode::not_found, "there is no model " + model.str()));
    }
    auto result = starts.front();
    if (starts.size() > 1) starts.pop_front();
    if (result) ready_[model.str()] = *result;
    co_return result;
  }

  // What callers are told while they wait, with a pause after each.
  void tell(std::vector<QueuePlace> progress, std::chrono::milliseconds pause) {
    std::lock_guard lock(mutex_);
    progress_ = std::move(progress);
    pause_ = pause;
  }
  void set_ready(const std::string& model, Target target) {
    std::lock_guard lock(mutex_);
    ready_[model] = std::move(target);
  }
  // What the next start comes to; the last one said holds for all that follow.
  void on_start(const std::string& model, Result<Target> result) {
    std::lock_guard lock(mutex_);
    starts_[model].push_back(std::move(result));
  }
  void hold_starts(std::shared_ptr<const Gate> gate) {
    std::lock_guard lock(mutex_);
    gate_ = std::move(gate);
  }
  int ensured() const {
    std::lock_guard lock(mutex_);
    return ensured_;
  }
  int asked() const {  // for what is ready
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Target> ready_;
  std::map<std::string, std::deque<Result<Target>>> starts_;
  std::shared_ptr<const Gate> gate_;
  std::vector<QueuePlace> progress_;
  std::chrono::milliseconds pause_{0};
  int ensured_ = 0;
  mutable int asked_ = 0;
};

}  // namespace corral::gateway

// A binding that answers what it is told to, for tests of what stands above it.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <string>

#include "bindings/binding.hpp"

namespace corral::gateway {

// Gives out its pieces, then the error if there is one.
class PlayedAnswer final : public bindings::Answer {
 public:
  struct Script {
    bool relayable = true;
    std::vector<std::string> pieces;
    std::vector<inference::Event> events;
    std::optional<Error> error;
    inference::Usage usage;
  };
  explicit PlayedAnswer(Script script) : script_(std::move(script)) {}

  bool relayable() const override { return script_.relayable; }
  net::Task<Result<std::string_view>> next_bytes() override {
    if (at_ < script_.pieces.size()) {
      first_ = std::chrono::steady_clock::now();
      co_return std::string_view(script_.pieces[at_++]);
    }
    if (script_.error) co_return std::unexpected(*script_.error);
    co_return std::string_view{};
  }
  net::Task<Result<std::optional<inference::Event>>> next_event() override {
    if (at_ < script_.events.size()) co_return script_.events[at_++];
    if (script_.error) co_return std::unexpected(*script_.error);
    co_return std::optional<inference::Event>{};
  }
  const inference::Usage& usage() const override { return script_.usage; }
  std::optional<std::chrono::steady_clock::time_point> first_token_at() const override {
    return first_;
  }

 private:
  Script script_;
  std::size_t at_ = 0;
  std::optional<std::chrono::steady_clock::time_point> first_;
};

// Answers with `script`, after the refusals that were queued.
class PlayedBinding final : public bindings::Binding {
 public:
  std::string_view kind() const override { return "played"; }
  net::Task<Result<std::unique_ptr<bindings::Answer>>> open(
      const bindings::EndpointAddress& address, const inference::Request& request,
      bindings::CallTimeouts timeouts) const override {
    std::lock_guard lock(mutex_);
    ++opened_;
    model_ = request.backend_model;
    port_ = address.target.port;
    timeouts_ = timeouts;
    if (!refusals_.empty()) {
      Error error = refusals_.front();
      refusals_.pop_front();
      co_return std::unexpected(std::move(error));
    }
    co_return std::make_unique<PlayedAnswer>(script_);
  }

  void refuse(Error error) {
    std::lock_guard lock(mutex_);
    refusals_.push_back(std::move(error));
  }
  void play(PlayedAnswer::Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  int opened() const {
    std::lock_guard lock(mutex_);
    return opened_;
  }
  std::string model() const {
    std::lock_guard lock(mutex_);
    return model_;
  }
  std::uint16_t port() const {
    std::lock_guard lock(mutex_);
    return port_;
  }
  bindings::CallTimeouts timeouts() const {
    std::lock_guard lock(mutex_);
    return timeouts_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::deque<Error> refusals_;
  PlayedAnswer::Script script_;
  mutable int opened_ = 0;
  mutable std::string model_;
  mutable std::uint16_t port_ = 0;
  mutable bindings::CallTimeouts timeouts_;
};

}  // namespace corral::gateway

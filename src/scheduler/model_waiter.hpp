// Who waits for a model: hears how it stands, and in the end what became of it.
//
// Thread rule: one coroutine waits, on one shard; `fulfil` and `tell` from any thread. News that
// nobody took yet are replaced by fresher ones.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "gateway/endpoint_source.hpp"
#include "net/one_shot.hpp"

namespace corral::scheduler {

class ModelWaiter {
 public:
  using Outcome = Result<gateway::Target>;
  using News = std::variant<Outcome, gateway::QueuePlace>;
  enum class Wants { outcome, progress };

  static std::shared_ptr<ModelWaiter> create(Wants wants = Wants::outcome) {
    return std::make_shared<ModelWaiter>(wants);
  }
  explicit ModelWaiter(Wants wants) : wants_(wants) {}

  bool wants_progress() const { return wants_ == Wants::progress; }
  // Later ones are ignored. False: it was one, or nobody waits any more.
  bool fulfil(Outcome outcome);
  void tell(gateway::QueuePlace place);
  // nullopt: the coroutine was cancelled.
  net::Task<std::optional<News>> next();

 private:
  const Wants wants_;
  std::mutex mutex_;
  bool done_ = false;
  std::optional<Outcome> outcome_;
  std::optional<gateway::QueuePlace> place_;
  std::shared_ptr<net::Wakeup> wakeup_;  // of who waits
};

}  // namespace corral::scheduler

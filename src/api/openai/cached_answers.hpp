// Answers requests from the cache, or makes one answer for all who ask for the same at the same
// time. An answer is made in a task of its own: the client that asked first may leave, and those
// who joined it get theirs; when the last one leaves, the task is cancelled, and with it the work
// upstream.
//
// The answer says what happened: x-corral-cache: hit | miss | joined, and with a hit its Age
// (RFC 9111 section 5.1) in seconds.
// Thread rule: `answer` on serving shards, `stop` on the control shard. Lifecycle: construct, use,
// `co_await stop()` once no request is under way.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "api/call.hpp"
#include "api/caller.hpp"
#include "api/openai/cache_plan.hpp"
#include "gateway/answer_store.hpp"
#include "net/shard.hpp"

namespace corral::api::openai {

// A request, ready to be sent on. `request.body` is kept alive by who holds it.
struct Order {
  inference::Request request;
  gateway::Caller caller;
};

// Answers `order` on `call.exchange`. Both outlive the call.
using MakeAnswer = std::function<net::Task<void>(Call& call, Order& order)>;

class CachedAnswers {
 public:
  CachedAnswers(net::Shards& shards, gateway::AnswerStore& store, MakeAnswer make);
  ~CachedAnswers();

  net::Task<void> answer(Call& call, Order order, CachePlan plan);
  net::Task<void> stop();

 private:
  struct Making;
  std::shared_ptr<Making> start(Call& call, const Order& order, const CachePlan& plan,
                                std::unique_ptr<gateway::AnswerMaker> maker);
  static net::Task<void> tend(std::shared_ptr<Making> making);
  net::Task<void> make(std::shared_ptr<Making> making);

  gateway::AnswerStore& store_;
  MakeAnswer make_;
  std::vector<std::unique_ptr<net::TaskGroup>> groups_;  // by serving shard
  std::vector<net::Shard*> shards_;
};

}  // namespace corral::api::openai

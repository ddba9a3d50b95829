// Sends requests for embeddings that come at about the same time as one with several inputs, and
// gives each client its part of the answer: the driver of gateway::EmbeddingBatch.
//
// The joint request is an ordinary one in OpenAI's dialect, so any backend can be asked; joined is
// only what agrees in all but its inputs. A joint request that fails for what may be the fault of
// one input is taken apart, and each goes alone. A client that leaves disturbs nobody; when the
// last one has left, the call is cancelled. Answers of joint requests carry x-corral-batch: how
// many were joined.
//
// Thread rule: `answer` on serving shards, `stop` on the control shard. Lifecycle: construct, use,
// `co_await stop()` once no request is under way.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/call.hpp"
#include "api/openai/cached_answers.hpp"
#include "bindings/openai/embedding_join.hpp"
#include "gateway/active_route.hpp"
#include "gateway/core/embedding_batch.hpp"
#include "net/shard.hpp"
#include "telemetry/metrics.hpp"

namespace corral::api::openai {

// What a backend said to a joint request, and what its clients and the log are to learn of it.
struct JointAnswer {
  Result<std::string> document;
  net::Headers headers;
  CallNotes notes;
};
using AskJointly = std::function<net::Task<JointAnswer>(Order& order)>;

// What must agree between requests that are joined; none: this one is not to be joined.
std::optional<gateway::AnswerKey> batch_key(const Order& order, bindings::openai::InputForm form,
                                            const gateway::ActiveRoute& route);

class EmbeddingBatcher {
 public:
  struct Parts {
    net::Shards& shards;
    telemetry::Metrics& metrics;
    AskJointly ask;    // many at once
    MakeAnswer alone;  // one request as it is
    std::uint64_t seed = 0;
  };
  EmbeddingBatcher(Parts parts, std::chrono::milliseconds window);
  ~EmbeddingBatcher();

  // Zero: nothing is joined any more. Any thread.
  void set_window(std::chrono::milliseconds window) { window_ = window; }
  net::Task<void> answer(Call& call, Order& order, const gateway::ActiveRoute& route);
  net::Task<void> stop();

 private:
  struct Share;
  struct Crew;
  struct Member;
  struct Joint;
  class UnderWay;
  using MemberPtr = std::shared_ptr<Member>;
  using JointPtr = std::shared_ptr<Joint>;

  static MemberPtr member_of(const Order& order, const gateway::ActiveRoute& route);
  net::Task<void> wait_for_share(Call& call, Order& order, MemberPtr member);
  JointPtr take(gateway::EmbeddingBatch::BatchId batch);  // with the lock; may be null
  void start(const JointPtr& joint);
  void ended(const gateway::AnswerKey& key);
  void leave(const MemberPtr& member);
  net::Task<void> take_when_due(gateway::EmbeddingBatch::BatchId batch,
                                gateway::EmbeddingBatch::Time due);
  net::Task<void> run(JointPtr joint);
  static net::Task<void> tend(JointPtr joint);
  static void hand_out(const Joint& joint, JointAnswer answer);
  static net::Task<void> deliver(Call& call, const Share& share);

  Parts parts_;
  std::atomic<std::chrono::milliseconds> window_;
  telemetry::Counter batches_, joined_;
  std::vector<std::unique_ptr<net::TaskGroup>> groups_;  // by serving shard
  std::mutex mutex_;
  gateway::EmbeddingBatch core_;
  std::unordered_map<gateway::EmbeddingBatch::MemberId, MemberPtr> waiting_;
};

}  // namespace corral::api::openai

// The OpenAI surface: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models.
// Source: OpenAI API reference. Fast path: where the binding speaks OpenAI's dialect, its bytes are
// passed on as they come, one send for each read.
#pragma once

#include <memory>

#include "api/caller.hpp"
#include "api/openai/cached_answers.hpp"
#include "api/openai/embedding_batcher.hpp"
#include "api/router.hpp"
#include "gateway/dispatcher.hpp"
#include "net/snapshot.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::openai {

class OpenAiSurface {
 public:
  OpenAiSurface(gateway::Dispatcher& dispatcher, scheduler::Scheduler& scheduler,
                const net::Snapshot<CallerRules>& rules)
      : dispatcher_(dispatcher), scheduler_(scheduler), rules_(rules) {}

  void add_routes(Router& router);
  // From now on answers are kept and shared, where their routes say so. Then stop() is needed.
  void keep_answers(net::Shards& shards, gateway::AnswerStore& store);
  // From now on embeddings that are asked for at about the same time are asked for together. The
  // same holds for stop(). Zero: not so; any thread.
  void join_embeddings(net::Shards& shards, telemetry::Metrics& metrics,
                       std::chrono::milliseconds window, std::uint64_t seed);
  void set_embedding_window(std::chrono::milliseconds window);
  net::Task<void> stop();  // on the control shard, when no request is under way

 private:
  net::Task<void> generate(Call& call, inference::Operation operation);
  net::Task<void> make_answer(Call& call, Order& order);
  net::Task<void> answer_alone(Call& call, Order& order);
  net::Task<JointAnswer> ask_jointly(Order& order);
  std::optional<CachePlan> plan(const Call& call, const Order& order) const;
  net::Task<void> list_models(Call& call);
  net::Task<void> one_model(Call& call);
  void note_model(CallNotes& notes, std::string_view name) const;

  gateway::Dispatcher& dispatcher_;
  scheduler::Scheduler& scheduler_;
  const net::Snapshot<CallerRules>& rules_;
  std::unique_ptr<CachedAnswers> cached_;      // may be null
  std::unique_ptr<EmbeddingBatcher> batcher_;  // may be null
};

}  // namespace corral::api::openai

// The OpenAI surface: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models.
// Source: OpenAI API reference. Fast path: where the binding speaks OpenAI's dialect, its bytes are
// passed on as they come, one send for each read.
#pragma once

#include "api/router.hpp"
#include "gateway/dispatcher.hpp"
#include "net/snapshot.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::openai {

class OpenAiSurface {
 public:
  OpenAiSurface(gateway::Dispatcher& dispatcher, scheduler::Scheduler& scheduler,
                const net::Snapshot<gateway::CallLimits>& limits)
      : dispatcher_(dispatcher), scheduler_(scheduler), limits_(limits) {}

  void add_routes(Router& router);

 private:
  net::Task<void> generate(Call& call, inference::Operation operation);
  net::Task<void> list_models(Call& call);
  net::Task<void> one_model(Call& call);

  gateway::Dispatcher& dispatcher_;
  scheduler::Scheduler& scheduler_;
  const net::Snapshot<gateway::CallLimits>& limits_;
};

}  // namespace corral::api::openai

// The admin surface, which the command line and the web UI use: models, instances, status. What
// takes longer than five seconds answers 202 with an operation, which goes on. Errors are RFC 9457
// problem documents. All times are RFC 3339 in UTC.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "api/admin/operations.hpp"
#include "api/router.hpp"
#include "scheduler/scheduler.hpp"

namespace corral::api::admin {

struct ServerFacts {
  std::string version;
  std::chrono::system_clock::time_point started;
  std::vector<std::string> listeners;  // "http://127.0.0.1:8585"
};

class AdminSurface {
 public:
  AdminSurface(scheduler::Scheduler& scheduler, const ServerFacts& facts, net::Shard& control)
      : scheduler_(scheduler), facts_(facts), operations_(control) {}

  void add_routes(Router& router);
  net::Task<void> stop() { return operations_.stop(); }  // control shard
  Operations& running() { return operations_; }

 private:
  net::Task<void> models(Call& call);
  net::Task<void> model(Call& call);
  net::Task<void> load(Call& call);
  net::Task<Result<void>> load_model(ModelName model, inference::Operation for_what,
                                     std::shared_ptr<OperationHandle> handle);
  net::Task<void> unload(Call& call);
  net::Task<void> operations(Call& call);
  net::Task<void> operation(Call& call);
  net::Task<void> instances(Call& call);
  net::Task<void> scaling(Call& call);  // scaling_view.cpp
  net::Task<void> status(Call& call);
  net::Task<void> reply_with_model(Call& call, const std::string& name);

  scheduler::Scheduler& scheduler_;
  const ServerFacts& facts_;
  Operations operations_;
};

}  // namespace corral::api::admin

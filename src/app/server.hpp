// All long-lived parts of a running server, in the order in which they depend on each other.
// Thread rule: made and destroyed on the main thread; run() drives the control shard.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "api/admin/admin_surface.hpp"
#include "api/admin/model_admin.hpp"
#include "api/admin/route_admin.hpp"
#include "api/api.hpp"
#include "api/openai/openai_surface.hpp"
#include "api/ops/ops_surface.hpp"
#include "app/bench_parts.hpp"
#include "app/container_parts.hpp"
#include "app/model_parts.hpp"
#include "app/pull_parts.hpp"
#include "app/source_parts.hpp"
#include "app/store_parts.hpp"
#include "cli/cli.hpp"
#include "config/config.hpp"
#include "gateway/answer_store.hpp"
#include "gateway/gateway_metrics.hpp"
#include "gateway/outlier_watch.hpp"
#include "gateway/redis_answers.hpp"
#include "gateway/route_control.hpp"
#include "gateway/work_keeper.hpp"
#include "net/http_server.hpp"
#include "net/snapshot.hpp"
#include "net/static_files.hpp"
#include "net/tls.hpp"
#include "scheduler/scheduler.hpp"
#include "telemetry/log.hpp"
#include "telemetry/metrics.hpp"

namespace corral::app {

class Server {
 public:
  Server(cli::ServeOptions options, std::shared_ptr<const config::Settings> settings,
         std::shared_ptr<telemetry::SpdlogSink> sink, sys::Files& files, StoreParts store,
         std::chrono::steady_clock::time_point begun);
  ~Server();

  // Binds the listeners. A taken port that was not asked for is a warning.
  Result<void> listen();
  int run();

 private:
  net::Task<void> main_task();
  net::Task<void> shut_down();
  void on_signal(int number);
  void reload();
  void make_gateway();
  void make_surfaces();
  void install_metrics();
  void announce() const;

  cli::ServeOptions options_;
  std::shared_ptr<const config::Settings> settings_;
  std::shared_ptr<telemetry::SpdlogSink> sink_;
  telemetry::Logger log_;
  sys::Files& files_;
  std::chrono::steady_clock::time_point begun_;
  sys::RealClock clock_;
  std::unique_ptr<sys::Processes> processes_;
  std::unique_ptr<sys::ResourceLimits> engine_limits_;
  telemetry::Metrics metrics_;
  bindings::BindingSet bindings_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> draining_{false};
  bool starting_ = true;  // control shard
  int exit_code_ = 0;

  net::Shards shards_;
  net::Snapshot<api::CallerRules> caller_rules_;
  StoreParts store_;
  ModelParts models_;
  net::BlockingPool pool_;
  PullService pulls_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::unique_ptr<gateway::Dispatcher> dispatcher_;
  std::unique_ptr<gateway::EndpointRegistry> registry_;
  std::unique_ptr<gateway::WorkKeeper> learned_;
  std::unique_ptr<gateway::RouteControl> routes_;
  std::unique_ptr<ContainerService> containers_;
  std::unique_ptr<gateway::GatewayMetrics> gateway_metrics_;
  std::unique_ptr<gateway::OutlierWatch> outliers_;
  std::unique_ptr<gateway::RedisAnswers> shared_answers_;  // may be null
  std::unique_ptr<gateway::AnswerStore> answers_;
  std::unique_ptr<api::Api> api_;
  api::admin::ServerFacts facts_;
  std::unique_ptr<api::openai::OpenAiSurface> openai_;
  std::unique_ptr<api::admin::AdminSurface> admin_;
  std::unique_ptr<SourceService> sources_;
  std::unique_ptr<api::admin::RouteAdmin> route_admin_;
  std::unique_ptr<api::admin::ModelAdmin> model_admin_;
  std::unique_ptr<BenchService> benches_;
  std::unique_ptr<api::ops::OpsSurface> ops_;
  std::unique_ptr<net::StaticFiles> static_files_;
  std::unique_ptr<net::HttpServer> http_;
  std::unique_ptr<net::TaskGroup> tasks_;
  std::unique_ptr<net::SignalWatch> signals_;
};

}  // namespace corral::app

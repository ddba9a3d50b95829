// The whole API on every listener: gate, routes, access log, metrics.
//
// Thread rule: `handle` and `observe` run on the serving shards; construction and `replace_gate` on
// control. Lifecycle: outlives the HttpServer that calls it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/call.hpp"
#include "api/gate.hpp"
#include "api/model_meters.hpp"
#include "api/router.hpp"
#include "net/shard.hpp"
#include "net/snapshot.hpp"
#include "telemetry/log.hpp"
#include "telemetry/metrics.hpp"

namespace corral::api {

class Api {
 public:
  Api(net::Shards& shards, telemetry::Logger access_log, telemetry::Metrics& metrics,
      std::shared_ptr<const Gate> gate, bool log_access);
  ~Api();

  // Before the server starts.
  Router& router() { return router_; }
  // Handles what no route does (static files); without one such requests get 404.
  void set_fallback(CallHandler handler) { fallback_ = std::move(handler); }

  net::Task<void> handle(net::HttpExchange& exchange);
  // Requests that the server refused before `handle` saw them.
  void observe(const net::HttpRequest& request, const net::HttpOutcome& outcome);
  void replace_gate(std::shared_ptr<const Gate> gate) { gate_.publish(gate); }
  void set_log_access(bool on) { log_access_ = on; }
  const std::shared_ptr<const Gate>& gate() const { return gate_.local(); }
  // Of the calling shard, since it was asked last.
  std::vector<models::ModelUse> take_usage() { return model_meters_.take_usage(); }
  // What requests met with since it was asked last. Any thread.
  std::vector<scheduler::ModelDemand> take_demand() { return model_meters_.take_demand(); }

 private:
  struct RouteMeters;
  net::Task<void> dispatch(Call& call, const Gate& gate, const Route*& route);
  void finished(const Call& call, const Route* route);
  void log_access(const net::HttpRequest& request, int status, std::uint64_t bytes_in,
                  std::uint64_t bytes_out, double seconds, const CallNotes& notes);
  RouteMeters& meters_of(std::string_view surface, std::string_view route, int status);

  Router router_;
  CallHandler fallback_;
  telemetry::Logger access_log_;
  telemetry::Metrics& metrics_;
  std::atomic<bool> log_access_;
  net::Snapshot<Gate> gate_;
  ModelMeters model_meters_;
  telemetry::Gauge in_flight_;
  // By where the text of the route lies, which stays as long as there are routes, and the status.
  using RouteKey = std::pair<const char*, int>;
  std::vector<std::map<RouteKey, std::unique_ptr<RouteMeters>>> meters_by_shard_;
};

}  // namespace corral::api

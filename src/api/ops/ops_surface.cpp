#include "api/ops/ops_surface.hpp"

#include <boost/json.hpp>

#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "net/websocket.hpp"
#include "sys/host.hpp"

namespace corral::api::ops {
namespace {

namespace bj = boost::json;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLiveInterval{1};

bool wants_websocket(const net::HttpRequest& request) {
  auto upgrade = request.headers.get("upgrade");
  return upgrade && iequals(*upgrade, "websocket");
}

// Share of one processor that this process used since the last call, in percent.
class CpuMeter {
 public:
  double next() {
    auto now = SteadyClock::now();
    double used = sys::self_usage().cpu_seconds;
    double span = std::chrono::duration<double>(now - at_).count();
    double percent = span > 0 ? 100 * (used - used_) / span : 0;
    at_ = now;
    used_ = used;
    return percent;
  }

 private:
  SteadyClock::time_point at_ = SteadyClock::now();
  double used_ = sys::self_usage().cpu_seconds;
};

// Reads until the client closes: the closing handshake is answered only while somebody reads.
net::Task<void> read_to_the_end(net::WebSocket& socket, bool& gone) {
  for (;;) {
    auto message = co_await socket.receive();
    if (!message) break;
  }
  gone = true;
}

}  // namespace

void OpsSurface::add_routes(Router& router) {
  auto bind = [this](net::Task<void> (OpsSurface::*method)(Call&)) {
    return [this, method](Call& call) { return (this->*method)(call); };
  };
  router.add({"GET", "/health", "ops", bind(&OpsSurface::health), true});
  router.add({"GET", "/health/ready", "ops", bind(&OpsSurface::readiness), true});
  router.add({"GET", "/metrics", "ops", bind(&OpsSurface::metrics)});
}

void OpsSurface::add_root(Router& router) {
  router.add({"GET", "/", "ops", [this](Call& call) { return root(call); }, true});
}

net::Task<void> OpsSurface::health(Call& call) {
  net::HttpReply reply;
  reply.body = R"({"status":")";
  reply.body += parts_.draining ? "shutting_down" : "ok";
  reply.body += R"(","version":)" + json::quoted(parts_.version);
  reply.body += R"(,"api_key_required":)";
  reply.body += parts_.api.gate()->api_key_required() ? "true}" : "false}";
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> OpsSurface::readiness(Call& call) {
  net::HttpReply reply;
  bool ready = parts_.ready && !parts_.draining;
  reply.status = ready ? 200 : 503;
  reply.body = ready             ? R"({"status":"ready"})"
               : parts_.draining ? R"({"status":"shutting_down"})"
                                 : R"({"status":"starting"})";
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> OpsSurface::metrics(Call& call) {
  if (wants_websocket(call.request())) {
    co_await live_metrics(call);
    co_return;
  }
  std::function<std::string()> work = [this] { return parts_.metrics.expose(); };
  net::HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = co_await net::run_blocking<std::string>(parts_.pool, std::move(work));
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<std::string> OpsSurface::live_document(double cpu_percent) {
  bj::array models;
  auto instances = co_await parts_.scheduler.instances();
  for (const auto& instance : instances) {
    models.push_back(bj::object{{"model", instance.model},
                                {"purpose", instance.purpose},
                                {"state", instance.state},
                                {"resident_bytes", instance.resident_bytes},
                                {"cpu_seconds", instance.cpu_seconds},
                                {"in_flight", instance.in_flight},
                                {"waiting", instance.waiting},
                                {"requests_total", instance.requests_total}});
  }
  auto host = sys::host_facts();
  co_return json::serialize(bj::object{{"time", format_time(std::chrono::system_clock::now())},
                                       {"cpu_percent", cpu_percent},
                                       {"resident_bytes", sys::self_usage().resident_bytes},
                                       {"host_memory_total_bytes", host.memory_total},
                                       {"host_memory_available_bytes", host.memory_available},
                                       {"connections", parts_.connections()},
                                       {"requests_in_flight", parts_.requests_in_flight()},
                                       {"instances", std::move(models)}});
}

net::Task<void> OpsSurface::live_metrics(Call& call) {
  // A page elsewhere may open a WebSocket to us without CORS being asked: check it here.
  auto origin = call.request().headers.get("origin");
  if (origin && !parts_.api.gate()->origin_allowed(*origin)) {
    Error error = fail(ErrorCode::forbidden, "this origin may not read the metrics")
                      .hint("add it to server.cors_origins");
    (void)co_await call.exchange.reply(problem(error));
    co_return;
  }
  auto socket = co_await call.exchange.upgrade();
  if (!socket) co_return;
  bool gone = false;
  net::TaskGroup reader(*net::Shard::current());
  reader.spawn(read_to_the_end(**socket, gone));
  CpuMeter cpu;
  while (!parts_.draining && !gone) {
    std::string document = co_await live_document(cpu.next());
    auto sent = co_await (*socket)->send_text(document);
    if (!sent) break;
    auto slept = co_await net::sleep_for(kLiveInterval);
    if (!slept) break;
  }
  if (parts_.draining && !gone) co_await (*socket)->close(1001, "shutting down");
  co_await reader.close();
}

net::Task<void> OpsSurface::root(Call& call) {
  net::HttpReply reply;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = "Corral " + parts_.version +
               " is running.\nOpenAI API: /v1   health: /health   metrics: /metrics\n";
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::ops

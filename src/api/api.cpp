#include "api/api.hpp"

#include <fmt/core.h>

#include "api/errors.hpp"

namespace corral::api {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

// The error shape for a path that no route claims.
std::string_view surface_of(std::string_view path) {
  return path.starts_with("/v1/") ? "openai" : "admin";
}

Error no_route(const net::HttpRequest& request) {
  return fail(ErrorCode::not_found, fmt::format("there is no {} {}", request.method, request.path));
}

net::HttpReply wrong_method(const net::HttpRequest& request, const std::string& allowed) {
  Error error = fail(ErrorCode::invalid_argument,
                     fmt::format("{} does not take {}", request.path, request.method))
                    .hint("use " + allowed);
  net::HttpReply reply = error_reply(surface_of(request.path), error, 405);
  reply.headers.set("allow", allowed);
  return reply;
}

}  // namespace

// The roadmaps' names; labels are bounded by the routes that exist.
struct Api::RouteMeters {
  telemetry::Counter requests;
  telemetry::Histogram duration;
};

Api::Api(net::Shards& shards, telemetry::Logger access_log, telemetry::Metrics& metrics,
         std::shared_ptr<const Gate> gate, bool log_access)
    : access_log_(std::move(access_log)),
      metrics_(metrics),
      log_access_(log_access),
      gate_(shards, std::move(gate)),
      model_meters_(metrics, shards.serving_count()),
      in_flight_(metrics.gauge("corral_requests_in_flight", "Requests being answered.")),
      meters_by_shard_(shards.serving_count()) {}

Api::~Api() = default;

net::Task<void> Api::handle(net::HttpExchange& exchange) {
  Call call{exchange, {}, {}};
  const Route* route = nullptr;
  auto gate = gate_.local();
  in_flight_.add();
  co_await dispatch(call, *gate, route);
  in_flight_.sub();
  finished(call, route);
}

net::Task<void> Api::dispatch(Call& call, const Gate& gate, const Route*& route) {
  auto& exchange = call.exchange;
  const auto& request = exchange.request();
  gate.add_cors(request, exchange.extra_headers());
  auto host = gate.check_host(request);
  if (!host) {
    (void)co_await exchange.reply(error_reply(surface_of(request.path), host.error()));
    co_return;
  }
  if (request.method == "OPTIONS") {
    net::HttpReply reply;
    reply.status = 204;
    reply.content_type.clear();
    (void)co_await exchange.reply(std::move(reply));
    co_return;
  }
  Router::Match match = router_.match(request.method, request.path);
  route = match.route;
  if (route == nullptr || !route->open) {
    auto key = gate.check_key(request);
    if (!key) {
      net::HttpReply reply = error_reply(surface_of(request.path), key.error());
      reply.headers.set("www-authenticate", "Bearer");
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
  }
  if (route != nullptr) {
    call.parameter = std::move(match.parameter);
    co_await route->handler(call);
  } else if (!match.allowed.empty()) {
    (void)co_await exchange.reply(wrong_method(request, match.allowed));
  } else if (fallback_ && request.method == "GET") {
    co_await fallback_(call);
  } else {
    (void)co_await exchange.reply(error_reply(surface_of(request.path), no_route(request)));
  }
}

void Api::finished(const Call& call, const Route* route) {
  const auto& outcome = call.exchange.outcome();
  const auto& request = call.request();
  double seconds = seconds_since(request.started);
  int status = outcome.status;
  if (status == 0) status = call.exchange.client_gone() ? 499 : 500;
  std::string_view surface = route != nullptr ? std::string_view(route->surface) : "none";
  auto& meters =
      meters_of(surface, route != nullptr ? std::string_view(route->pattern) : "none", status);
  meters.requests.add();
  meters.duration.observe(seconds);
  model_meters_.record(surface, call.notes, status, seconds);
  if (log_access_) {
    log_access(request, status, outcome.bytes_in, outcome.bytes_out, seconds, call.notes);
  }
}

void Api::observe(const net::HttpRequest& request, const net::HttpOutcome& outcome) {
  if (outcome.handler_ran) return;
  double seconds = std::chrono::duration<double>(outcome.duration).count();
  auto& meters = meters_of("none", "refused", outcome.status);
  meters.requests.add();
  meters.duration.observe(seconds);
  if (log_access_) {
    log_access(request, outcome.status, outcome.bytes_in, outcome.bytes_out, seconds, {});
  }
}

void Api::log_access(const net::HttpRequest& request, int status, std::uint64_t bytes_in,
                     std::uint64_t bytes_out, double seconds, const CallNotes& notes) {
  if (!access_log_.enabled(telemetry::LogLevel::info)) return;
  // The query is left out: some clients put keys there.
  double ms = seconds * 1e3;
  if (notes.model.empty()) {
    access_log_.info("request", {{"id", request.request_id},
                                 {"peer", request.peer},
                                 {"method", request.method},
                                 {"path", request.path},
                                 {"status", status},
                                 {"in", bytes_in},
                                 {"out", bytes_out},
                                 {"ms", ms}});
    return;
  }
  double first = notes.first_token ? static_cast<double>(notes.first_token->count()) / 1e6 : 0.0;
  access_log_.info("request", {{"id", request.request_id},
                               {"peer", request.peer},
                               {"method", request.method},
                               {"path", request.path},
                               {"status", status},
                               {"in", bytes_in},
                               {"out", bytes_out},
                               {"ms", ms},
                               {"model", notes.model},
                               {"endpoint", notes.endpoint},
                               {"first_token_ms", first},
                               {"prompt_tokens", notes.usage.prompt_tokens},
                               {"completion_tokens", notes.usage.completion_tokens}});
}

Api::RouteMeters& Api::meters_of(std::string_view surface, std::string_view route, int status) {
  auto& table = meters_by_shard_[net::Shard::current()->index()];
  RouteKey key(route.data(), status);
  auto it = table.find(key);
  if (it == table.end()) {
    telemetry::Labels labels{{"surface", std::string(surface)}, {"route", std::string(route)}};
    telemetry::Labels with_status = labels;
    with_status.emplace_back("status", fmt::format("{}", status));
    auto meters = std::make_unique<RouteMeters>(RouteMeters{
        metrics_.counter("api_requests_total", "Answered requests.", with_status),
        metrics_.histogram("operation_duration_seconds",
                           "From the first byte of a request to the last of its answer.", labels,
                           telemetry::latency_buckets())});
    it = table.emplace(key, std::move(meters)).first;
  }
  return *it->second;
}

}  // namespace corral::api

#include "api/admin/operation_admin.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "api/errors.hpp"
#include "base/json.hpp"

namespace corral::api::admin {
namespace {

constexpr std::chrono::milliseconds kEventLook{200};
constexpr int kLooksToSilence = 75;  // then a comment, so that proxies keep the connection

bool is_over(const Operation& operation) {
  auto state = operation.state();
  return state == "succeeded" || state == "failed" || state == "cancelled";
}

net::Task<Result<void>> send_event(net::HttpExchange& exchange, const char* type,
                                   const std::string& data) {
  std::string text =
      data.empty() ? std::string(": \n\n") : fmt::format("event: {}\ndata: {}\n\n", type, data);
  std::string_view parts[] = {text};
  co_return co_await exchange.send(parts);
}

}  // namespace

void OperationAdmin::add_routes(Router& router) {
  auto acting = [this](OperationAction action) {
    return [this, action](Call& call) { return act(call, action); };
  };
  router.add({"POST", "/admin/v1/operations/{}/pause", "admin", acting(OperationAction::pause)});
  router.add({"POST", "/admin/v1/operations/{}/resume", "admin", acting(OperationAction::resume)});
  router.add({"POST", "/admin/v1/operations/{}/cancel", "admin", acting(OperationAction::cancel)});
  router.add({"GET", "/admin/v1/operations/{}/events", "admin",
              [this](Call& call) { return events(call); }});
}

net::Task<void> OperationAdmin::act(Call& call, OperationAction action) {
  auto done = co_await operations_.act(call.parameter, action);
  net::HttpReply reply;
  if (done) {
    reply.body = json::serialize(describe(*done));
  } else {
    reply = problem(done.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> OperationAdmin::events(Call& call) {
  auto& exchange = call.exchange;
  auto operation = operations_.find(call.parameter);
  if (!operation) {
    (void)co_await exchange.reply(problem(operation.error()));
    co_return;
  }
  exchange.extra_headers().set("cache-control", "no-store");
  if (!exchange.begin(200, "text/event-stream")) co_return;
  std::string last;
  int silent = 0;
  while (operation) {
    std::string now = json::serialize(describe(*operation));
    bool over = is_over(*operation);
    Result<void> sent;
    if (now != last || over) {
      sent = co_await send_event(exchange, over ? "end" : "progress", now);
      last = std::move(now);
      silent = 0;
    } else if (++silent % kLooksToSilence == 0) {
      sent = co_await send_event(exchange, "", "");
    }
    if (!sent || over) break;
    if (!co_await net::sleep_for(kEventLook)) co_return;
    operation = operations_.find(call.parameter);
  }
  (void)co_await exchange.finish();
}

}  // namespace corral::api::admin

#include "api/admin/container_admin.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/admin/replies.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;
namespace docker = engines::docker;
using docker::ContainerCommand;
using docker::ContainerView;

constexpr std::int64_t kLines = 200;

std::string_view verb(ContainerCommand command) {
  switch (command) {
    case ContainerCommand::start: return "start";
    case ContainerCommand::stop: return "stop";
    case ContainerCommand::restart: return "restart";
    case ContainerCommand::remove: return "remove";
    case ContainerCommand::pull: return "pull";
  }
  return "start";
}

OperationProgress progress_of(const docker::PullState& state) {
  OperationProgress progress;
  progress.stage = state.status;
  if (state.total > 0) progress.bytes = state.total;
  progress.done = state.done;
  return progress;
}

bj::object describe(const ContainerView& view) {
  const auto& info = view.info;
  bj::object result{{"name", view.name},
                    {"image", view.image},
                    {"configured", view.configured},
                    {"state", std::string(engines::to_string(info.state))},
                    {"docker_state", text_or_null(view.docker_state)},
                    {"docker_status", text_or_null(view.docker_status)},
                    {"id", text_or_null(info.id)},
                    {"url", text_or_null(view.url)},
                    {"adopted", info.adopted},
                    {"restarts", info.restarts}};
  result["since"] = view.configured ? bj::value(format_time(info.since)) : bj::value(nullptr);
  result["error"] = info.last_error ? bj::value(info.last_error->describe()) : bj::value(nullptr);
  result["pull"] = nullptr;
  if (info.pull) {
    result["pull"] = bj::object{{"status", text_or_null(info.pull->status)},
                                {"bytes_done", info.pull->done},
                                {"bytes_total", info.pull->total}};
  }
  result["usage"] = nullptr;
  if (info.usage) {
    result["usage"] = bj::object{{"memory_bytes", info.usage->memory},
                                 {"memory_limit_bytes", info.usage->memory_limit},
                                 {"cpu_seconds", info.usage->cpu_seconds}};
  }
  return result;
}

Result<ContainerView> find(const docker::Containers& containers, const std::string& name) {
  std::vector<std::string> names;
  for (auto& each : containers.view()) {
    if (each.name == name) return std::move(each);
    names.push_back(each.name);
  }
  Error error = fail(ErrorCode::not_found, fmt::format("there is no container '{}'", name));
  auto near = nearest(name, names);
  error.hint_text = near.empty() ? "docker.containers in the configuration names them"
                                 : "did you mean " + join(near, " or ") + "?";
  return std::unexpected(std::move(error));
}

}  // namespace

void ContainerAdmin::add_routes(Router& router) {
  std::string path = "/admin/v1/containers";
  router.add({"GET", path, "admin", [this](Call& call) { return list(call); }});
  router.add({"GET", path + "/{}", "admin", [this](Call& call) { return one(call); }});
  router.add({"GET", path + "/{}/logs", "admin", [this](Call& call) { return logs(call); }});
  for (auto command : {ContainerCommand::start, ContainerCommand::stop, ContainerCommand::restart,
                       ContainerCommand::remove, ContainerCommand::pull}) {
    router.add({"POST", fmt::format("{}/{{}}/{}", path, verb(command)), "admin",
                [this, command](Call& call) { return act(call, command); }});
  }
}

net::Task<void> ContainerAdmin::list(Call& call) {
  std::function<bj::object()> work = [this] {
    bj::array all;
    for (const auto& view : containers_.view()) all.push_back(describe(view));
    const auto& problem = containers_.problem();
    return bj::object{{"error", problem ? bj::value(problem->describe()) : bj::value(nullptr)},
                      {"containers", std::move(all)}};
  };
  auto document = co_await net::call_on(control_, std::move(work));
  (void)co_await call.exchange.reply(json_reply(document));
}

net::Task<void> ContainerAdmin::one(Call& call) {
  std::function<Result<bj::object>()> work = [this, name = call.parameter]() -> Result<bj::object> {
    CORRAL_TRY(auto view, find(containers_, name));
    return describe(view);
  };
  auto found = co_await net::call_on(control_, std::move(work));
  (void)co_await call.exchange.reply(found ? json_reply(*found) : problem(found.error()));
}

net::Task<void> ContainerAdmin::act(Call& call, ContainerCommand command) {
  std::string name = call.parameter;
  std::function<Result<ContainerView>()> look = [this, name] { return find(containers_, name); };
  auto found = co_await net::call_on(control_, std::move(look));
  if (!found) {
    (void)co_await call.exchange.reply(problem(found.error()));
    co_return;
  }
  Operations::TrackedWork work = [this, name, command](std::shared_ptr<OperationHandle> handle) {
    return containers_.act(name, command, [handle](const docker::PullState& state) {
      handle->report(progress_of(state));
    });
  };
  auto operation = co_await operations_.run_tracked(fmt::format("container-{}", verb(command)),
                                                    name, std::move(work), Cancelling::refused,
                                                    std::chrono::milliseconds(0));
  auto reply = json_reply(admin::describe(operation), 202);
  reply.headers.set("location", "/admin/v1/operations/" + operation.id);
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> ContainerAdmin::logs(Call& call) {
  auto wanted =
      parse_int(net::query_value(call.request().query, "tail").value_or("")).value_or(kLines);
  auto tail =
      static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, docker::Containers::kMostLogLines));
  using Lines = Result<std::vector<docker::LogLine>>;
  std::function<net::Task<Lines>()> work = [this, name = call.parameter, tail] {
    return containers_.logs(name, tail);
  };
  auto lines = co_await net::run_on(control_, tasks_, std::move(work));
  net::HttpReply reply;
  if (!lines) {
    reply = problem(fail(ErrorCode::unavailable, "the server is shutting down"));
  } else if (*lines) {
    bj::array all;
    for (const auto& each : **lines) {
      all.push_back(
          bj::object{{"stream", each.from == docker::LogStream::err ? "stderr" : "stdout"},
                     {"text", each.text}});
    }
    reply = json_reply(bj::object{{"lines", std::move(all)}});
  } else {
    reply = problem(lines->error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

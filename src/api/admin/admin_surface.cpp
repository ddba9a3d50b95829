#include "api/admin/admin_surface.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/admin/plan_view.hpp"
#include "api/admin/replies.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "sys/host.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::chrono::seconds kLoadWait{5};
constexpr std::size_t kDefaultPage = 200;  // models
constexpr std::int64_t kLargestPage = 1000;

bj::object describe(const scheduler::ModelStatus& model) {
  bj::array aliases;
  for (const auto& alias : model.aliases) aliases.emplace_back(alias);
  bj::array capabilities;
  for (auto name : scheduler::capabilities_of(model)) capabilities.emplace_back(name);
  return {{"name", model.name},
          {"source", model.source == scheduler::ModelSource::file ? "file" : "endpoint"},
          {"state", std::string(scheduler::to_string(model.state))},
          {"size_bytes", model.size_bytes},
          {"architecture", text_or_null(model.architecture)},
          {"parameters", model.parameters},
          {"quantization", text_or_null(model.quantization)},
          {"context_length", model.context_length},
          {"capabilities", std::move(capabilities)},
          {"modified", format_time(model.modified)},
          {"aliases", std::move(aliases)},
          {"endpoint", text_or_null(model.endpoint)},
          {"version", model.version > 0 ? bj::value(model.version) : bj::value(nullptr)},
          {"origin", text_or_null(model.origin)},
          {"error", text_or_null(model.error)}};
}

bj::object describe(const scheduler::ModelDetails& details) {
  bj::object result = describe(details.status);
  bj::array files;
  for (const auto& file : details.files) {
    files.push_back(bj::object{{"path", file.path}, {"size_bytes", file.size_bytes}});
  }
  bj::object metadata;
  for (const auto& [key, value] : details.metadata) metadata[key] = value;
  result["files"] = std::move(files);
  result["chat_template"] = text_or_null(details.chat_template);
  result["metadata"] = std::move(metadata);
  result["settings"] = bj::object{{"context", details.context},
                                  {"slots", details.slots},
                                  {"idle_timeout_ms", details.idle_timeout.count()}};
  result["memory_estimate_bytes"] = details.memory_estimate_bytes;
  result["plan"] = details.plan ? bj::value(describe_plan(*details.plan)) : bj::value(nullptr);
  return result;
}

// Which limits hold, and by what.
bj::object describe_limits(const scheduler::InstanceStatus& instance) {
  auto by = [](sys::LimitWay way) {
    return way == sys::LimitWay::none ? bj::value(nullptr) : bj::value(sys::to_string(way));
  };
  return {{"memory_bytes", instance.memory_limit_bytes > 0 ? bj::value(instance.memory_limit_bytes)
                                                           : bj::value(nullptr)},
          {"memory_by", by(instance.limited_by.memory)},
          {"processors_by", by(instance.limited_by.processors)},
          {"io_by", by(instance.limited_by.io)}};
}

double seconds_of(std::chrono::milliseconds value) {
  return std::chrono::duration<double>(value).count();
}

net::Task<void> note_load(std::shared_ptr<OperationHandle> handle, gateway::QueuePlace place) {
  using std::chrono::ceil;
  using std::chrono::seconds;
  OperationProgress progress;
  if (place.stage == gateway::QueuePlace::Stage::loading) {
    progress.stage = "loading";
    progress.elapsed = ceil<seconds>(place.passed);
    if (place.estimate) progress.remaining = ceil<seconds>(*place.estimate);
  } else {
    progress.stage = "waiting for room";
    progress.detail = place.why;
  }
  handle->report(std::move(progress));
  co_return;
}

bj::object describe(const scheduler::InstanceStatus& instance) {
  bj::value load = nullptr;
  if (instance.load) {
    load = bj::object{{"elapsed_seconds", seconds_of(instance.load->passed)},
                      {"expected_seconds", seconds_of(instance.load->expected)}};
  }
  return {
      {"model", instance.model},
      {"purpose", instance.purpose},
      {"replica", instance.replica},
      {"state", instance.state},
      {"device", text_or_null(instance.device)},
      {"reserved_bytes", instance.reserved_bytes},
      {"waits_because", text_or_null(instance.waits_because)},
      {"load", std::move(load)},
      {"pid", instance.pid},
      {"address", text_or_null(instance.address)},
      {"since", format_time(instance.since)},
      {"idle_unload_at", instance.idle_unload_at ? bj::value(format_time(*instance.idle_unload_at))
                                                 : bj::value(nullptr)},
      {"resident_bytes", instance.resident_bytes},
      {"cpu_seconds", instance.cpu_seconds},
      {"in_flight", instance.in_flight},
      {"waiting", instance.waiting},
      {"requests_total", instance.requests_total},
      {"restarts", instance.restarts},
      {"limits", describe_limits(instance)}};
}

struct ModelQuery {
  std::size_t limit = kDefaultPage;
  std::string after;
  std::string search;  // in lower case
};

Result<ModelQuery> model_query(std::string_view text) {
  ModelQuery query;
  query.after = net::query_value(text, "after").value_or("");
  query.search = to_lower(net::query_value(text, "search").value_or(""));
  if (auto limit = net::query_value(text, "limit")) {
    auto number = parse_int(*limit);
    if (!number || *number < 1 || *number > kLargestPage) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("\"limit\" must be a number from 1 to {}", kLargestPage))
          .field("limit");
    }
    query.limit = static_cast<std::size_t>(*number);
  }
  return query;
}

bool matches(const scheduler::ModelStatus& model, const std::string& search) {
  auto holds = [&](const std::string& name) { return to_lower(name).contains(search); };
  return search.empty() || holds(model.name) || std::ranges::any_of(model.aliases, holds);
}

}  // namespace

void AdminSurface::add_routes(Router& router) {
  auto bind = [this](net::Task<void> (AdminSurface::*method)(Call&)) {
    return [this, method](Call& call) { return (this->*method)(call); };
  };
  router.add({"GET", "/admin/v1/models", "admin", bind(&AdminSurface::models)});
  router.add({"GET", "/admin/v1/models/{}", "admin", bind(&AdminSurface::model)});
  router.add({"POST", "/admin/v1/models/{}/load", "admin", bind(&AdminSurface::load)});
  router.add({"POST", "/admin/v1/models/{}/unload", "admin", bind(&AdminSurface::unload)});
  router.add({"GET", "/admin/v1/instances", "admin", bind(&AdminSurface::instances)});
  router.add({"GET", "/admin/v1/scaling", "admin", bind(&AdminSurface::scaling)});
  router.add({"GET", "/admin/v1/operations", "admin", bind(&AdminSurface::operations)});
  router.add({"GET", "/admin/v1/operations/{}", "admin", bind(&AdminSurface::operation)});
  router.add({"GET", "/admin/v1/status", "admin", bind(&AdminSurface::status)});
}

// ?limit=&after=&search=: by name, those behind `after`, whose name or an alias holds `search`.
net::Task<void> AdminSurface::models(Call& call) {
  auto query = model_query(call.request().query);
  if (!query) {
    (void)co_await call.exchange.reply(problem(query.error()));
    co_return;
  }
  auto catalog = scheduler_.catalog();
  const auto& models = catalog->models;
  auto at = std::ranges::upper_bound(models, query->after, {}, &scheduler::ModelStatus::name);
  bj::array list;
  bj::value next = nullptr;
  for (; at != models.end(); ++at) {
    if (!matches(*at, query->search)) continue;
    if (list.size() == query->limit) {
      next = list.back().at("name");
      break;
    }
    list.push_back(describe(*at));
  }
  bj::array warnings;
  for (const auto& warning : catalog->warnings()) warnings.emplace_back(warning);
  (void)co_await call.exchange.reply(json_reply(bj::object{{"models", std::move(list)},
                                                           {"next", std::move(next)},
                                                           {"total", models.size()},
                                                           {"warnings", std::move(warnings)}}));
}

net::Task<void> AdminSurface::reply_with_model(Call& call, const std::string& name) {
  auto details = co_await scheduler_.details(name);
  net::HttpReply reply = details ? json_reply(describe(*details)) : problem(details.error());
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> AdminSurface::model(Call& call) { co_await reply_with_model(call, call.parameter); }

net::Task<void> AdminSurface::load(Call& call) {
  auto for_what = inference::Operation::chat;
  if (const auto* status = scheduler_.catalog()->find(call.parameter)) {
    for_what = scheduler::main_operation(*status);
  }
  Operations::TrackedWork work = [this, for_what, model = ModelName(call.parameter)](auto handle) {
    return load_model(model, for_what, std::move(handle));
  };
  // "?wait=0": only begin it.
  bool wait = net::query_value(call.request().query, "wait") != "0";
  auto operation =
      co_await operations_.run_tracked("load", call.parameter, std::move(work), Cancelling::refused,
                                       wait ? kLoadWait : std::chrono::seconds(0));
  if (operation.finished && !operation.error) {
    co_await reply_with_model(call, call.parameter);
    co_return;
  }
  net::HttpReply reply;
  if (operation.error) {
    reply = problem(*operation.error);
  } else {
    reply = json_reply(describe(operation));
    reply.status = 202;
    reply.headers.set("location", "/admin/v1/operations/" + operation.id);
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<Result<void>> AdminSurface::load_model(ModelName model, inference::Operation for_what,
                                                 std::shared_ptr<OperationHandle> handle) {
  gateway::OnWait on_wait = [handle](const gateway::QueuePlace& place) {
    return note_load(handle, place);
  };
  CORRAL_CO_CHECK(co_await scheduler_.ensure(std::move(model), for_what, std::move(on_wait)));
  co_return Result<void>();
}

net::Task<void> AdminSurface::operations(Call& call) {
  bj::array list;
  for (const auto& operation : operations_.list()) list.push_back(describe(operation));
  (void)co_await call.exchange.reply(json_reply(bj::object{{"operations", std::move(list)}}));
}

net::Task<void> AdminSurface::operation(Call& call) {
  auto found = operations_.find(call.parameter);
  (void)co_await call.exchange.reply(found ? json_reply(describe(*found)) : problem(found.error()));
}

net::Task<void> AdminSurface::unload(Call& call) {
  auto done = co_await scheduler_.unload(call.parameter);
  if (!done) {
    (void)co_await call.exchange.reply(problem(done.error()));
    co_return;
  }
  co_await reply_with_model(call, call.parameter);
}

net::Task<void> AdminSurface::instances(Call& call) {
  bj::array list;
  auto all = co_await scheduler_.instances();
  for (const auto& instance : all) list.push_back(describe(instance));
  (void)co_await call.exchange.reply(json_reply(bj::object{{"instances", std::move(list)}}));
}

net::Task<void> AdminSurface::status(Call& call) {
  bj::array listeners;
  for (const auto& listener : facts_.listeners) listeners.emplace_back(listener);
  auto usage = sys::self_usage();
  auto up = std::chrono::system_clock::now() - facts_.started;
  (void)co_await call.exchange.reply(
      json_reply(bj::object{{"version", facts_.version},
                            {"started", format_time(facts_.started)},
                            {"uptime_seconds", std::chrono::duration<double>(up).count()},
                            {"listeners", std::move(listeners)},
                            {"resident_bytes", usage.resident_bytes}}));
}

}  // namespace corral::api::admin

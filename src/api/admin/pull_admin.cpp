#include "api/admin/pull_admin.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/admin/replies.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::int64_t kFound = 20;
constexpr std::int64_t kMostFound = 100;

bj::object describe(const models::RemoteModel& model) {
  bj::array files;
  bool known = true;
  std::uint64_t sum = 0;
  for (const auto& file : model.files) {
    files.push_back(bj::object{{"name", file.name},
                               {"role", std::string(models::to_string(file.role))},
                               {"size_bytes", count_or_null(file.bytes)},
                               {"digest", text_or_null(file.digest)}});
    known = known && file.bytes.has_value();
    sum += file.bytes.value_or(0);
  }
  return {{"name", model.name},
          {"origin", model.origin},
          {"revision", text_or_null(model.revision)},
          {"license", text_or_null(model.license)},
          {"size_bytes", known ? bj::value(sum) : bj::value(nullptr)},
          {"files", std::move(files)}};
}

Result<models::PullRequest> read_request(std::string_view body) {
  CORRAL_TRY(auto document, json::parse(body));
  const auto* object = document.if_object();
  if (object == nullptr) {
    return fail(ErrorCode::invalid_argument, "the body is not a JSON object")
        .hint("{\"model\": \"llama3.2:3b\"}");
  }
  models::PullRequest request;
  for (const auto& [key, value] : *object) {
    std::string* into = key == "model" ? &request.reference : nullptr;
    if (key == "name") into = &request.name;
    if (into == nullptr || !value.is_string()) {
      return fail(ErrorCode::invalid_argument,
                  into == nullptr ? fmt::format("'{}' is not known here", std::string_view(key))
                                  : fmt::format("'{}' is not a text", std::string_view(key)))
          .field(std::string(key))
          .hint("a pull takes \"model\", and \"name\" for another name in the catalog");
    }
    *into = value.get_string();
  }
  if (request.reference.empty()) {
    return fail(ErrorCode::invalid_argument, "\"model\" is missing").field("model");
  }
  return request;
}

Result<std::string> needed(const net::HttpRequest& request, const char* name) {
  auto value = net::query_value(request.query, name);
  if (value && !trim(*value).empty()) return std::string(trim(*value));
  return fail(ErrorCode::invalid_argument, fmt::format("the query has no '{}'", name)).field(name);
}

}  // namespace

bj::object describe(const models::RemoteInfo& info) {
  return {{"reference", info.reference},
          {"description", text_or_null(info.description)},
          {"license", text_or_null(info.license)},
          {"architecture", text_or_null(info.architecture)},
          {"parameters", text_or_null(info.parameters)},
          {"quantization", text_or_null(info.quantization)},
          {"context_length", count_or_null(info.context_length)},
          {"size_bytes", count_or_null(info.bytes)},
          {"downloads", count_or_null(info.downloads)},
          {"likes", count_or_null(info.likes)},
          {"updated", text_or_null(info.updated)},
          {"gated", info.gated}};
}

Operation operation_of(const models::PullView& view) {
  Operation operation;
  operation.id = view.id;
  operation.kind = "pull";
  operation.target = view.reference;
  operation.started = view.started;
  operation.finished = view.finished;
  operation.error = view.error;
  operation.own_state = models::to_string(view.state);
  OperationProgress progress;
  progress.stage = view.stage;
  progress.model = view.name;
  progress.bytes = view.bytes;
  progress.done = view.done;
  progress.rate = view.rate;
  progress.remaining = view.remaining;
  progress.files.reserve(view.files.size());
  for (const auto& file : view.files) {
    progress.files.push_back(
        {file.name, std::string(models::to_string(file.role)), file.bytes, file.done});
  }
  operation.progress = std::move(progress);
  return operation;
}

void PullAdmin::add_routes(Router& router) {
  router.add({"POST", "/admin/v1/pulls", "admin", [this](Call& call) { return pull(call); }});
  router.add({"GET", "/admin/v1/search", "admin", [this](Call& call) { return search(call); }});
  router.add({"GET", "/admin/v1/pulls/plan", "admin", [this](Call& call) { return plan(call); }});
}

std::vector<Operation> PullAdmin::list() const {
  auto views = pulls_.list();
  std::vector<Operation> all;
  all.reserve(views.size());
  for (const auto& view : views) all.push_back(operation_of(view));
  return all;
}

std::optional<Operation> PullAdmin::find(const std::string& id) const {
  auto view = pulls_.find(id);
  if (!view) return std::nullopt;
  return operation_of(*view);
}

net::Task<Result<Operation>> PullAdmin::act(std::string id, OperationAction action) {
  auto what = models::PullAction::cancel;
  if (action == OperationAction::pause) what = models::PullAction::pause;
  if (action == OperationAction::resume) what = models::PullAction::resume;
  CORRAL_CO_TRY(auto view, co_await pulls_.act(std::move(id), what));
  co_return operation_of(view);
}

net::Task<void> PullAdmin::pull(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto request = body ? read_request(*body) : std::unexpected(body.error());
  net::HttpReply reply;
  if (!request) {
    reply = problem(request.error());
  } else {
    request->author = call.request().peer;
    auto view = co_await pulls_.pull(std::move(*request));
    if (view) {
      reply = json_reply(admin::describe(operation_of(*view)), 202);
      reply.headers.set("location", "/admin/v1/operations/" + view->id);
    } else {
      reply = problem(view.error());
    }
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> PullAdmin::search(Call& call) {
  auto words = needed(call.request(), "q");
  net::HttpReply reply;
  if (words) {
    auto most =
        parse_int(net::query_value(call.request().query, "limit").value_or("")).value_or(kFound);
    most = std::clamp<std::int64_t>(most, 1, kMostFound);
    auto found = co_await pulls_.search(std::move(*words), static_cast<std::size_t>(most));
    if (found) {
      bj::array list;
      for (const auto& info : *found) list.push_back(describe(info));
      reply = json_reply(bj::object{{"models", std::move(list)}});
    } else {
      reply = problem(found.error());
    }
  } else {
    reply = problem(words.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> PullAdmin::plan(Call& call) {
  auto reference = needed(call.request(), "model");
  net::HttpReply reply;
  if (reference) {
    auto found = co_await pulls_.plan(std::move(*reference));
    reply = found ? json_reply(describe(*found)) : problem(found.error());
  } else {
    reply = problem(reference.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

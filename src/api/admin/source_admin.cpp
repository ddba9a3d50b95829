#include "api/admin/source_admin.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/admin/pull_admin.hpp"
#include "api/admin/recommendations.hpp"
#include "api/admin/replies.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMostPatterns = 100;
constexpr std::int64_t kMostListed = 200;
constexpr std::int64_t kListed = 20;

bj::object describe(const models::SourceView& source, models::Pulls::Ask asked) {
  const bool known = asked == models::Pulls::Ask::each;
  return {{"name", source.name},
          {"kind", source.kind},
          {"label", source.label},
          {"address", source.address},
          {"reachable", known ? bj::value(!source.problem.has_value()) : bj::value(nullptr)},
          {"error", source.problem ? bj::value(source.problem->message) : bj::value(nullptr)},
          {"hint", source.problem ? text_or_null(source.problem->hint_text) : bj::value(nullptr)}};
}

bj::object describe(const models::SyncStep& step) {
  const auto& item = step.item;
  return {{"name", item.name},
          {"reference", item.reference},
          {"state", models::to_string(item.state)},
          {"here_as", text_or_null(item.here_as)},
          {"size_bytes", item.bytes ? bj::value(*item.bytes) : bj::value(nullptr)},
          {"fetch_bytes", item.to_fetch},
          {"operation", text_or_null(step.operation)},
          {"removed", step.removed},
          {"error", step.error ? bj::value(step.error->message) : bj::value(nullptr)}};
}

bj::object describe(const models::SyncReport& report, const models::SyncRequest& request) {
  bj::array steps;
  for (const auto& step : report.steps) steps.push_back(describe(step));
  bj::array refused;
  for (const auto& error : report.refused) {
    refused.push_back(bj::object{{"name", text_or_null(error.param)}, {"error", error.message}});
  }
  return {{"source", request.wish.source},
          {"dry_run", request.dry_run},
          {"fetch_bytes", report.to_fetch},
          {"models", std::move(steps)},
          {"refused", std::move(refused)}};
}

Error wrong_field(std::string_view key, std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' {}", key, what))
      .field(std::string(key))
      .hint("a sync takes \"source\", and \"patterns\", \"dry_run\" and \"delete\"");
}

Result<void> read_patterns(const bj::value& value, std::vector<std::string>& into) {
  const auto* list = value.if_array();
  if (list == nullptr || list->size() > kMostPatterns) {
    return std::unexpected(wrong_field("patterns", "is not a list of at most 100 names"));
  }
  into.reserve(list->size());
  for (const auto& each : *list) {
    if (!each.is_string()) return std::unexpected(wrong_field("patterns", "is a list of texts"));
    into.emplace_back(each.get_string());
  }
  return {};
}

Result<models::SyncRequest> read_sync(std::string_view body) {
  CORRAL_TRY(auto document, json::parse(body));
  const auto* object = document.if_object();
  if (object == nullptr) {
    return fail(ErrorCode::invalid_argument, "the body is not a JSON object")
        .hint("{\"source\": \"lab\"}");
  }
  models::SyncRequest request;
  for (const auto& [key, value] : *object) {
    if (key == "patterns") {
      CORRAL_CHECK(read_patterns(value, request.wish.patterns));
    } else if (key == "source") {
      if (!value.is_string()) return std::unexpected(wrong_field(key, "is not a text"));
      request.wish.source = value.get_string();
    } else if (key == "dry_run" || key == "delete") {
      if (!value.is_bool()) return std::unexpected(wrong_field(key, "is not true or false"));
      (key == "delete" ? request.remove_gone : request.dry_run) = value.get_bool();
    } else {
      return std::unexpected(wrong_field(key, "is not known here"));
    }
  }
  if (request.wish.source.empty()) return std::unexpected(wrong_field("source", "is missing"));
  return request;
}

std::string query_text(const net::HttpRequest& request, const char* name) {
  auto value = net::query_value(request.query, name);
  return value ? std::string(trim(*value)) : std::string();
}

}  // namespace

void SourceAdmin::add_routes(Router& router) {
  auto bind = [this](net::Task<void> (SourceAdmin::*method)(Call&)) {
    return [this, method](Call& call) { return (this->*method)(call); };
  };
  router.add({"GET", "/admin/v1/sources", "admin", bind(&SourceAdmin::sources)});
  router.add({"GET", "/admin/v1/sources/info", "admin", bind(&SourceAdmin::info)});
  router.add({"GET", "/admin/v1/models/recommendations", "admin", bind(&SourceAdmin::recommend)});
  router.add({"POST", "/admin/v1/sync", "admin", bind(&SourceAdmin::sync)});
}

net::Task<void> SourceAdmin::sources(Call& call) {
  using Ask = models::Pulls::Ask;
  const auto ask = query_text(call.request(), "ask") == "nobody" ? Ask::nobody : Ask::each;
  auto views = co_await parts_.pulls.sources(ask);
  net::HttpReply reply;
  if (views) {
    bj::array list;
    for (const auto& view : *views) list.push_back(describe(view, ask));
    reply = json_reply(bj::object{{"sources", std::move(list)}});
  } else {
    reply = problem(views.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> SourceAdmin::info(Call& call) {
  auto reference = query_text(call.request(), "reference");
  Result<models::RemoteInfo> found =
      fail(ErrorCode::invalid_argument, "the query has no 'reference'").field("reference");
  if (!reference.empty()) found = co_await parts_.pulls.info(std::move(reference));
  net::HttpReply reply;
  if (found) {
    auto outlook = co_await parts_.scheduler.outlook();
    auto document = admin::describe(*found);
    document["fit"] = describe_fit(models::candidate_of(*found), outlook);
    reply = json_reply(document);
  } else {
    reply = problem(found.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> SourceAdmin::recommend(Call& call) {
  const auto& request = call.request();
  auto words = query_text(request, "q");
  auto from = query_text(request, "from");
  auto most = std::clamp<std::int64_t>(parse_int(query_text(request, "limit")).value_or(kListed), 1,
                                       kMostListed);
  // Without words only what is near: nobody else is told what is looked for.
  std::vector<std::string> names;
  if (from.empty()) {
    names = parts_.pulls.folder_names();
    if (!words.empty()) names.insert(names.begin(), "hf");
  } else if (from != kHere) {
    names = {from};
  }
  auto found = co_await parts_.pulls.search_in(words, names, kSearched);
  auto outlook = co_await parts_.scheduler.outlook();
  net::HttpReply reply;
  if (found) {
    bool here = from.empty() || from == kHere;
    reply =
        json_reply(recommendations(*found, outlook, {words, here, static_cast<std::size_t>(most)}));
  } else {
    reply = problem(found.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> SourceAdmin::sync(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto request = body ? read_sync(*body) : std::unexpected(body.error());
  net::HttpReply reply;
  if (!request) {
    reply = problem(request.error());
  } else {
    request->author = call.request().peer;
    auto report = co_await sync_.run(*request);
    bool begun = report && std::ranges::any_of(report->steps, [](const auto& step) {
                   return !step.operation.empty();
                 });
    reply = report ? json_reply(describe(*report, *request), begun ? 202 : 200)
                   : problem(report.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

#include "api/admin/route_admin.hpp"

#include <fmt/core.h>
#include <boost/json.hpp>

#include "api/admin/replies.hpp"
#include "api/admin/route_view.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;
using gateway::Managed;
using gateway::ManagedChange;
using gateway::ResourceKind;

constexpr std::uint64_t kLargestResource = 1u << 20;

std::string_view source_of(const Managed& managed) {
  return managed.from_config ? "config" : "store";
}

// "3" with or without quotes; 0 for a thing that must be new; none: whatever there is.
Result<std::optional<std::int64_t>> expected_version(const net::HttpRequest& request) {
  if (request.headers.get("if-none-match") == "*") return std::int64_t{0};
  auto text = request.headers.get("if-match");
  if (!text || *text == "*") return std::optional<std::int64_t>{};
  std::string_view number = *text;
  if (number.starts_with("W/")) number.remove_prefix(2);
  if (number.size() > 2 && number.front() == '"' && number.back() == '"') {
    number = number.substr(1, number.size() - 2);
  }
  auto version = parse_int(number);
  if (version && *version > 0) return std::optional<std::int64_t>(*version);
  return fail(ErrorCode::invalid_argument, "If-Match does not name a version")
      .hint("send the ETag of the answer that the change was made from");
}

void set_etag(net::HttpReply& reply, const Managed& managed) {
  if (managed.version > 0) reply.headers.set("etag", fmt::format("\"{}\"", managed.version));
}

// The settings as stored, the source and the version.
bj::object described(const Managed& managed) {
  bj::object result;
  auto settings = json::parse(managed.json);
  result["name"] = managed.name;
  result["source"] = source_of(managed);
  result["version"] = managed.version > 0 ? bj::value(managed.version) : bj::value(nullptr);
  result["settings"] = settings ? std::move(*settings) : bj::value(nullptr);
  return result;
}

void merge(bj::object& into, bj::object from) {
  for (auto& [key, value] : from) into[key] = std::move(value);
}

// Endpoints with how they are, or routes with how they run.
bj::array all_of(gateway::RouteControl& control, const gateway::Dispatcher& dispatcher,
                 ResourceKind kind) {
  std::map<std::string, bj::object> managed;
  for (const auto& each : control.list(kind)) managed[each.name] = described(each);
  bj::array result;
  if (kind == ResourceKind::endpoint) {
    for (const auto& view : control.registry().view()) {
      merge(managed[view.settings.name], admin::describe(view));
    }
  } else {
    for (const auto& route : dispatcher.routing()->routes()) {
      auto& entry = managed[route->name()];
      if (!entry.contains("source")) entry["source"] = "implicit";
      merge(entry, admin::describe(*route));
    }
  }
  for (auto& [name, each] : managed) result.push_back(std::move(each));
  return result;
}

// JSON or YAML, as everywhere.
Result<std::string> name_in(ResourceKind kind, std::string_view body) {
  if (kind == ResourceKind::route) {
    CORRAL_TRY(auto route, config::parse_route(body, "request"));
    return route.name;
  }
  CORRAL_TRY(auto endpoint, config::parse_endpoint(body, "request"));
  return endpoint.name;
}

std::string_view plural(ResourceKind kind) {
  return kind == ResourceKind::endpoint ? "endpoints" : "routes";
}

}  // namespace

void RouteAdmin::add_routes(Router& router) {
  using Method = net::Task<void> (RouteAdmin::*)(Call&, ResourceKind);
  auto bind = [this](Method method, ResourceKind kind) {
    return [this, method, kind](Call& call) { return (this->*method)(call, kind); };
  };
  for (auto kind : {ResourceKind::endpoint, ResourceKind::route}) {
    std::string path = fmt::format("/admin/v1/{}", plural(kind));
    router.add({"GET", path, "admin", bind(&RouteAdmin::list, kind)});
    router.add({"POST", path, "admin", bind(&RouteAdmin::create, kind)});
    router.add({"GET", path + "/{}", "admin", bind(&RouteAdmin::one, kind)});
    router.add({"PUT", path + "/{}", "admin", bind(&RouteAdmin::replace, kind)});
    router.add({"DELETE", path + "/{}", "admin", bind(&RouteAdmin::remove, kind)});
  }
  router.add({"POST", "/admin/v1/endpoints/{}/breaker", "admin",
              [this](Call& call) { return breaker(call); }});
  router.add(
      {"GET", "/admin/v1/explain/{...}", "admin", [this](Call& call) { return explain(call); }});
}

net::Task<void> RouteAdmin::list(Call& call, ResourceKind kind) {
  std::function<bj::array()> work = [this, kind] { return all_of(control_, dispatcher_, kind); };
  auto all = co_await net::call_on(control_.shard(), std::move(work));
  bj::object document;
  document[plural(kind)] = std::move(all);
  (void)co_await call.exchange.reply(json_reply(document));
}

net::Task<void> RouteAdmin::one(Call& call, ResourceKind kind) {
  using Found = std::pair<bj::object, std::int64_t>;
  std::function<Result<Found>()> work = [this, kind, name = call.parameter]() -> Result<Found> {
    for (auto& each : all_of(control_, dispatcher_, kind)) {
      auto& object = each.as_object();
      if (object.at("name").as_string() != name) continue;
      auto* version = object.if_contains("version");
      bool stored = version != nullptr && version->is_int64();
      return Found(std::move(object), stored ? version->as_int64() : 0);
    }
    CORRAL_TRY(auto found, control_.find(kind, name));
    return Found(described(found), found.version);
  };
  auto found = co_await net::call_on(control_.shard(), std::move(work));
  net::HttpReply reply = found ? json_reply(found->first) : refusal(found.error());
  if (found && found->second > 0) {
    reply.headers.set("etag", fmt::format("\"{}\"", found->second));
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> RouteAdmin::create(Call& call, ResourceKind kind) {
  auto body = co_await call.exchange.read_body(kLargestResource);
  if (!body) {
    (void)co_await call.exchange.reply(problem(body.error()));
    co_return;
  }
  ManagedChange wanted{kind, {}, std::string(*body), 0, author_of(call.request())};
  auto name = name_in(kind, *body);
  if (!name) {
    (void)co_await call.exchange.reply(refusal(name.error()));
    co_return;
  }
  wanted.name = std::move(*name);
  co_await change(call, std::move(wanted), true);
}

net::Task<void> RouteAdmin::replace(Call& call, ResourceKind kind) {
  auto body = co_await call.exchange.read_body(kLargestResource);
  if (!body) {
    (void)co_await call.exchange.reply(problem(body.error()));
    co_return;
  }
  auto version = expected_version(call.request());
  if (!version) {
    (void)co_await call.exchange.reply(problem(version.error()));
    co_return;
  }
  co_await change(
      call, {kind, call.parameter, std::string(*body), *version, author_of(call.request())}, false);
}

net::Task<void> RouteAdmin::change(Call& call, ManagedChange change, bool fresh) {
  std::function<net::Task<Result<Managed>>()> work = [this, change] {
    return control_.put(change);
  };
  auto done = co_await net::run_on(control_.shard(), control_.tasks(), std::move(work));
  net::HttpReply reply;
  if (!done) {
    reply = problem(fail(ErrorCode::unavailable, "the server is shutting down"));
  } else if (*done) {
    reply = json_reply(described(**done), fresh ? 201 : 200);
    set_etag(reply, **done);
  } else {
    reply = refusal(done->error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> RouteAdmin::remove(Call& call, ResourceKind kind) {
  auto version = expected_version(call.request());
  if (!version) {
    (void)co_await call.exchange.reply(problem(version.error()));
    co_return;
  }
  ManagedChange change{kind, call.parameter, {}, *version, author_of(call.request())};
  std::function<net::Task<Result<void>>()> work = [this, change] {
    return control_.remove(change);
  };
  auto done = co_await net::run_on(control_.shard(), control_.tasks(), std::move(work));
  net::HttpReply reply;
  reply.status = 204;
  reply.content_type.clear();
  if (!done) reply = problem(fail(ErrorCode::unavailable, "the server is shutting down"));
  if (done && !*done) reply = refusal(done->error());
  (void)co_await call.exchange.reply(std::move(reply));
}

// Opens or closes breakers by hand: {"action": "open" | "close", "model": optional}.
net::Task<void> RouteAdmin::breaker(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestResource);
  if (!body) {
    (void)co_await call.exchange.reply(problem(body.error()));
    co_return;
  }
  auto parsed = json::parse(*body);
  const auto* object = parsed ? parsed->if_object() : nullptr;
  const auto* action = object != nullptr ? object->if_contains("action") : nullptr;
  bool open = action != nullptr && *action == "open";
  if (action == nullptr || (!open && *action != "close")) {
    Error error = fail(ErrorCode::invalid_argument, "\"action\" must be \"open\" or \"close\"")
                      .field("action");
    (void)co_await call.exchange.reply(refusal(error));
    co_return;
  }
  const auto* model = object->if_contains("model");
  std::string wanted =
      model != nullptr && model->is_string() ? std::string(model->get_string()) : std::string();
  std::function<Result<void>()> work = [this, open, wanted, name = call.parameter] {
    return control_.registry().force_breakers(name, wanted, open);
  };
  auto done = co_await net::call_on(control_.shard(), std::move(work));
  if (!done) {
    (void)co_await call.exchange.reply(refusal(done.error()));
    co_return;
  }
  co_await one(call, ResourceKind::endpoint);
}

net::Task<void> RouteAdmin::explain(Call& call) {
  auto match = dispatcher_.routing()->find(call.parameter);
  if (match.route == nullptr) {
    auto table = dispatcher_.routing()->table();
    auto text = table != nullptr ? table->explain(call.parameter)
                                 : fail(ErrorCode::unavailable, "the server is starting");
    (void)co_await call.exchange.reply(refusal(text.error()));
    co_return;
  }
  (void)co_await call.exchange.reply(
      json_reply(admin::explain(*match.route, call.parameter, match.matched)));
}

}  // namespace corral::api::admin

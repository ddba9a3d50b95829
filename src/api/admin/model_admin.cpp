#include "api/admin/model_admin.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "api/admin/replies.hpp"
#include "api/errors.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::chrono::seconds kWriteWait{5};
constexpr int kShownDays = 30;
constexpr int kShownBenchmarks = 20;

// "?wait=0": only begin it.
std::chrono::milliseconds patience_of(const Call& call) {
  if (net::query_value(call.request().query, "wait") == "0") return std::chrono::milliseconds(0);
  return kWriteWait;
}

bj::object describe(const models::CatalogModel& model) {
  bj::array files;
  for (const auto& stored : model.files) {
    files.push_back(bj::object{
        {"name", stored.file.name},
        {"role", std::string(models::to_string(stored.file.role))},
        {"digest", stored.file.digest},
        {"size_bytes", stored.file.bytes},
        {"error", stored.problem.empty() ? bj::value(nullptr) : bj::value(stored.problem)}});
  }
  return {{"name", model.name},
          {"version", model.version},
          {"origin", model.origin},
          {"revision", model.revision},
          {"license", model.license},
          {"author", model.author},
          {"added", format_time(model.added)},
          {"size_bytes", model.bytes},
          {"files", std::move(files)}};
}

bj::object describe(const models::CatalogVersion& version) {
  return {{"version", version.version}, {"present", version.present},
          {"origin", version.origin},   {"revision", version.revision},
          {"author", version.author},   {"added", format_time(version.added)},
          {"size_bytes", version.bytes}};
}

bj::object describe(const models::ModelUse& use) {
  return {{"requests", use.requests},
          {"prompt_tokens", use.prompt_tokens},
          {"completion_tokens", use.completion_tokens}};
}

// An object, or nothing for an empty body.
Result<bj::object> read_object(std::string_view body) {
  if (trim(body).empty()) return bj::object();
  CORRAL_TRY(auto parsed, json::parse(body));
  if (parsed.is_object()) return std::move(parsed.get_object());
  return fail(ErrorCode::invalid_argument, "the body is not a JSON object");
}

Result<std::string> wanted_name(const bj::object& body) {
  const auto* name = body.if_contains("name");
  if (name != nullptr && name->is_string()) return std::string(name->get_string());
  return fail(ErrorCode::invalid_argument, "\"name\" must say what the other name is")
      .field("name");
}

Result<std::optional<std::int64_t>> wanted_version(const bj::object& body) {
  const auto* version = body.if_contains("version");
  if (version == nullptr || version->is_null()) return std::optional<std::int64_t>();
  if (version->is_int64() && version->get_int64() > 0) return std::optional(version->get_int64());
  return fail(ErrorCode::invalid_argument, "\"version\" must be the number of a version")
      .field("version");
}

struct CopyWish {
  std::string name;
  std::optional<std::int64_t> version;
};

Result<CopyWish> copy_wish(std::string_view body) {
  CORRAL_TRY(auto object, read_object(body));
  CopyWish wish;
  CORRAL_TRY(wish.name, wanted_name(object));
  CORRAL_TRY(wish.version, wanted_version(object));
  return wish;
}

}  // namespace

void ModelAdmin::add_routes(Router& router) {
  auto bind = [this](net::Task<void> (ModelAdmin::*method)(Call&)) {
    return [this, method](Call& call) { return (this->*method)(call); };
  };
  const std::string one = "/admin/v1/models/{}";
  router.add({"DELETE", one, "admin", bind(&ModelAdmin::remove)});
  router.add({"POST", one + "/copy", "admin", bind(&ModelAdmin::copy)});
  router.add({"POST", one + "/tag", "admin", bind(&ModelAdmin::tag)});
  router.add({"POST", one + "/rollback", "admin", bind(&ModelAdmin::rollback)});
  router.add({"GET", one + "/versions", "admin", bind(&ModelAdmin::versions)});
  router.add({"GET", one + "/usage", "admin", bind(&ModelAdmin::usage)});
  router.add({"POST", one + "/verify", "admin",
              [this](Call& call) { return verify(call, call.parameter); }});
  router.add(
      {"POST", "/admin/v1/verify", "admin", [this](Call& call) { return verify(call, {}); }});
}

// What is served here but not in the catalog cannot be changed here, and says why.
Error ModelAdmin::explain(const Error& error, const std::string& name) const {
  if (error.code != ErrorCode::not_found || error.param != "model") return error;
  auto catalog = parts_.scheduler.catalog();
  const auto* model = catalog->find(name);
  if (model == nullptr || model->version > 0) return error;
  if (model->source == scheduler::ModelSource::endpoint) {
    return fail(ErrorCode::conflict,
                fmt::format("'{}' is served by the endpoint {}, and not in the catalog",
                            model->name, model->endpoint))
        .field("model");
  }
  return fail(ErrorCode::conflict,
              fmt::format("'{}' lies in the models folder, which is only read", model->name))
      .hint(
          "change the folder's files yourself; another name is given by "
          "models.settings.<model>.aliases")
      .field("model");
}

net::Task<void> ModelAdmin::change(Call& call, std::string what,
                                   std::function<Result<models::CatalogModel>()> work) {
  auto done =
      co_await net::run_blocking<Result<models::CatalogModel>>(parts_.pool, std::move(work));
  if (!done) {
    (void)co_await call.exchange.reply(refusal(explain(done.error(), call.parameter)));
    co_return;
  }
  parts_.log.info(what, {{"model", call.parameter},
                         {"now", done->name},
                         {"version", done->version},
                         {"by", author_of(call.request())}});
  (void)co_await call.exchange.reply(json_reply(describe(*done)));
}

net::Task<void> ModelAdmin::remove(Call& call) {
  std::optional<std::int64_t> version;
  if (auto text = net::query_value(call.request().query, "version")) {
    auto number = parse_int(*text);
    if (!number || *number < 1) {
      (void)co_await call.exchange.reply(
          refusal(fail(ErrorCode::invalid_argument, "\"version\" must be the number of a version")
                      .field("version")));
      co_return;
    }
    version = *number;
  }
  std::function<Result<void>()> work = [this, version, name = call.parameter] {
    return version ? parts_.catalog.remove_version(name, *version) : parts_.catalog.remove(name);
  };
  auto done = co_await net::run_blocking<Result<void>>(parts_.pool, std::move(work));
  if (!done) {
    (void)co_await call.exchange.reply(refusal(explain(done.error(), call.parameter)));
    co_return;
  }
  parts_.log.info("model removed", {{"model", call.parameter},
                                    {"version", version.value_or(0)},
                                    {"by", author_of(call.request())}});
  net::HttpReply reply;
  reply.status = 204;
  reply.content_type.clear();
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> ModelAdmin::copy(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto wish = body ? copy_wish(*body) : std::unexpected(body.error());
  if (!wish) {
    (void)co_await call.exchange.reply(refusal(wish.error()));
    co_return;
  }
  co_await change(call, "model copied",
                  [this, wish = *wish, from = call.parameter, by = author_of(call.request())] {
                    return parts_.catalog.copy(from, wish.name, by);
                  });
}

net::Task<void> ModelAdmin::tag(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto wish = body ? copy_wish(*body) : std::unexpected(body.error());
  if (!wish) {
    (void)co_await call.exchange.reply(refusal(wish.error()));
    co_return;
  }
  co_await change(call, "model tagged",
                  [this, wish = *wish, from = call.parameter, by = author_of(call.request())] {
                    return parts_.catalog.tag(from, wish.version, wish.name, by);
                  });
}

net::Task<void> ModelAdmin::rollback(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto object = body ? read_object(*body) : std::unexpected(body.error());
  auto version = object ? wanted_version(*object) : std::unexpected(object.error());
  if (!version) {
    (void)co_await call.exchange.reply(refusal(version.error()));
    co_return;
  }
  co_await change(call, "model rolled back", [this, version = *version, name = call.parameter] {
    return parts_.catalog.rollback(name, version);
  });
}

net::Task<void> ModelAdmin::versions(Call& call) {
  struct Found {
    models::CatalogModel model;
    std::vector<models::CatalogVersion> versions;
  };
  std::function<Result<Found>()> work = [this, name = call.parameter]() -> Result<Found> {
    Found found;
    CORRAL_TRY(found.model, parts_.catalog.show(name));
    CORRAL_TRY(found.versions, parts_.catalog.versions(name));
    return found;
  };
  auto found = co_await net::run_blocking<Result<Found>>(parts_.pool, std::move(work));
  if (!found) {
    (void)co_await call.exchange.reply(problem(explain(found.error(), call.parameter)));
    co_return;
  }
  bj::array list;
  for (const auto& version : found->versions) list.push_back(describe(version));
  bj::object document = describe(found->model);
  document["versions"] = std::move(list);
  (void)co_await call.exchange.reply(json_reply(document));
}

net::Task<void> ModelAdmin::usage(Call& call) {
  struct Found {
    models::UsageTotal total;
    std::vector<models::UsageDay> days;
    std::vector<models::BenchmarkResult> benchmarks;
  };
  std::function<Result<Found>()> work = [this, name = call.parameter]() -> Result<Found> {
    Found found;
    CORRAL_TRY(found.total, parts_.history.total(name));
    CORRAL_TRY(found.days, parts_.history.days(name, kShownDays));
    CORRAL_TRY(found.benchmarks, parts_.history.benchmarks(name, kShownBenchmarks));
    return found;
  };
  auto found = co_await net::run_blocking<Result<Found>>(parts_.pool, std::move(work));
  if (!found) {
    (void)co_await call.exchange.reply(problem(found.error()));
    co_return;
  }
  bj::array days;
  for (const auto& day : found->days) {
    bj::object one = describe(day.use);
    one["day"] = format_time(day.day).substr(0, 10);
    days.push_back(std::move(one));
  }
  bj::array benchmarks;
  for (const auto& result : found->benchmarks) {
    auto body = json::parse(result.body);
    benchmarks.push_back(bj::object{{"measured", format_time(result.measured)},
                                    {"result", body ? std::move(*body) : bj::value(nullptr)}});
  }
  const bool used = found->total.use.requests > 0;
  bj::object document{{"model", call.parameter}};
  document["recent"] = describe(found->total.use);
  document["last_used"] =
      used ? bj::value(format_time(found->total.last_used)) : bj::value(nullptr);
  document["days"] = std::move(days);
  document["benchmarks"] = std::move(benchmarks);
  (void)co_await call.exchange.reply(json_reply(document));
}

net::Task<void> ModelAdmin::verify(Call& call, std::string model) {
  std::vector<std::string> names;
  auto catalog = parts_.scheduler.catalog();
  if (model.empty()) {
    for (const auto& each : catalog->models) {
      if (each.source == scheduler::ModelSource::file) names.push_back(each.name);
    }
  } else {
    const auto* found = catalog->find(model);
    if (found == nullptr || found->source != scheduler::ModelSource::file) {
      Error error = found == nullptr
                        ? catalog->unknown_model(model)
                        : explain(fail(ErrorCode::not_found, "").field("model"), model);
      (void)co_await call.exchange.reply(refusal(error));
      co_return;
    }
    names.push_back(found->name);
  }
  const std::string target = model.empty() ? "all models" : names.front();
  Operations::TrackedWork work = [this, names](std::shared_ptr<OperationHandle> handle) {
    return check_models(names, std::move(handle));
  };
  auto operation = co_await parts_.operations.run_tracked("verify", target, std::move(work),
                                                          Cancelling::heeded, patience_of(call));
  net::HttpReply reply;
  if (operation.error) {
    reply = problem(*operation.error);
  } else {
    reply = json_reply(describe(operation), operation.finished ? 200 : 202);
    if (!operation.finished) {
      reply.headers.set("location", "/admin/v1/operations/" + operation.id);
    }
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

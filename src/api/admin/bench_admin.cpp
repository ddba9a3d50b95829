#include "api/admin/bench_admin.hpp"

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

constexpr std::int64_t kShown = 10, kMostShown = 50;
constexpr std::int64_t kMostNumber = 1'000'000'000;

Error wrong(std::string_view name, std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not {}", name, what))
      .field(std::string(name));
}

Result<unsigned> number_in(const bj::value& value, std::string_view name) {
  if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > kMostNumber) {
    return wrong(name, "a number from 0 to 1000000000");
  }
  return static_cast<unsigned>(value.get_int64());
}

Result<std::vector<unsigned>> numbers_in(const bj::value& value, std::string_view name) {
  if (!value.is_array()) return wrong(name, "a list of numbers");
  std::vector<unsigned> out;
  out.reserve(value.get_array().size());
  for (const auto& each : value.get_array()) {
    CORRAL_TRY(unsigned number, number_in(each, name));
    out.push_back(number);
  }
  return out;
}

Result<bool> flag_in(const bj::value& value, std::string_view name) {
  if (!value.is_bool()) return wrong(name, "true or false");
  return value.get_bool();
}

Result<engines::Purpose> purpose_in(const bj::value& value, std::string_view name) {
  if (value.is_string() && value.get_string() == "chat") return engines::Purpose::chat;
  if (value.is_string() && value.get_string() == "embedding") return engines::Purpose::embedding;
  return wrong(name, "\"chat\" or \"embedding\"");
}

Result<std::chrono::milliseconds> time_in(const bj::value& value, std::string_view name) {
  auto time = value.is_string() ? parse_duration(std::string_view(value.get_string()))
                                : Result<std::chrono::milliseconds>(wrong(name, "a time"));
  if (!time || time->count() == 0) return wrong(name, "a time such as \"90s\" or \"5m\"");
  return *time;
}

Result<void> read_option(std::string_view name, const bj::value& value,
                         scheduler::BenchOptions& into) {
  if (name == "prompts") {
    CORRAL_TRY(into.prompts, numbers_in(value, name));
  } else if (name == "concurrency") {
    CORRAL_TRY(into.concurrency, numbers_in(value, name));
  } else if (name == "tokens") {
    CORRAL_TRY(into.tokens, number_in(value, name));
  } else if (name == "repeats") {
    CORRAL_TRY(into.repeats, number_in(value, name));
  } else if (name == "budget") {
    CORRAL_TRY(into.budget, time_in(value, name));
  } else if (name == "purpose") {
    CORRAL_TRY(into.purpose, purpose_in(value, name));
  } else if (name == "tune") {
    CORRAL_TRY(into.tune, flag_in(value, name));
  } else if (name == "smaller_cache") {
    CORRAL_TRY(into.smaller_cache, flag_in(value, name));
  } else {
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is not known here", name))
        .field(std::string(name))
        .hint(
            "a benchmark takes prompts, concurrency, tokens, repeats, budget, purpose, tune and "
            "smaller_cache");
  }
  return {};
}

bj::value describe(const std::optional<models::TunedSettings>& tuned) {
  if (!tuned) return nullptr;
  return bj::object{{"tuned", format_time(tuned->tuned)},
                    {"settings", models::to_json(tuned->choice)},
                    {"note", tuned->note}};
}

}  // namespace

Result<scheduler::BenchOptions> read_bench_options(std::string_view body) {
  scheduler::BenchOptions options;
  if (trim(body).empty()) return options;
  CORRAL_TRY(auto document, json::parse(body));
  const auto* object = document.if_object();
  if (object == nullptr) {
    return fail(ErrorCode::invalid_argument, "the body is not a JSON object")
        .hint("{\"prompts\": [128, 512], \"concurrency\": [1, 4]}");
  }
  for (const auto& [name, value] : *object) CORRAL_CHECK(read_option(name, value, options));
  return options;
}

Operation operation_of(const scheduler::BenchView& view) {
  Operation operation;
  operation.id = view.id;
  operation.kind = view.tune ? "tune" : "bench";
  operation.target = view.model;
  operation.started = view.started;
  operation.finished = view.finished;
  operation.error = view.error;
  operation.own_state = view.state;
  OperationProgress progress;
  progress.stage = view.stage;
  progress.model = view.model;
  progress.remaining = view.remaining;
  operation.progress = std::move(progress);
  return operation;
}

void BenchAdmin::add_routes(Router& router) {
  const std::string one = "/admin/v1/models/{}";
  router.add({"POST", one + "/bench", "admin", [this](Call& call) { return begin(call); }});
  router.add({"GET", one + "/benchmarks", "admin", [this](Call& call) { return past(call); }});
  router.add({"DELETE", one + "/tuned", "admin", [this](Call& call) { return forget(call); }});
}

std::vector<Operation> BenchAdmin::list() const {
  auto views = benches_.list();
  std::vector<Operation> all;
  all.reserve(views.size());
  for (const auto& view : views) all.push_back(operation_of(view));
  return all;
}

std::optional<Operation> BenchAdmin::find(const std::string& id) const {
  auto view = benches_.find(id);
  if (!view) return std::nullopt;
  return operation_of(*view);
}

net::Task<Result<Operation>> BenchAdmin::act(std::string id, OperationAction action) {
  if (action != OperationAction::cancel) {
    co_return fail(ErrorCode::conflict, "a benchmark cannot be paused: it would measure the pause")
        .hint("it can be cancelled, and begun again");
  }
  CORRAL_CO_TRY(auto view, co_await benches_.cancel(std::move(id)));
  co_return operation_of(view);
}

net::Task<void> BenchAdmin::begin(Call& call) {
  auto body = co_await call.exchange.read_body(kLargestBody);
  auto options = body ? read_bench_options(*body) : std::unexpected(body.error());
  if (!options) {
    (void)co_await call.exchange.reply(refusal(options.error()));
    co_return;
  }
  auto view = co_await benches_.begin(call.parameter, std::move(*options));
  net::HttpReply reply;
  if (view) {
    reply = json_reply(admin::describe(operation_of(*view)), 202);
    reply.headers.set("location", "/admin/v1/operations/" + view->id);
  } else {
    reply = refusal(view.error());
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> BenchAdmin::past(Call& call) {
  auto limit = kShown;
  if (auto text = net::query_value(call.request().query, "limit")) {
    limit = parse_int(*text).value_or(0);
    if (limit < 1 || limit > kMostShown) {
      (void)co_await call.exchange.reply(
          refusal(wrong("limit", fmt::format("a number from 1 to {}", kMostShown))));
      co_return;
    }
  }
  auto found = co_await benches_.past(call.parameter, static_cast<int>(limit));
  if (!found) {
    (void)co_await call.exchange.reply(problem(found.error()));
    co_return;
  }
  bj::array list;
  for (const auto& result : found->results) {
    auto body = json::parse(result.body);
    list.push_back(bj::object{{"id", result.id},
                              {"measured", format_time(result.measured)},
                              {"result", body ? std::move(*body) : bj::value(nullptr)}});
  }
  bj::object document{{"model", found->model}};
  document["tuned"] = describe(found->tuned);
  document["benchmarks"] = std::move(list);
  (void)co_await call.exchange.reply(json_reply(document));
}

net::Task<void> BenchAdmin::forget(Call& call) {
  auto there = co_await benches_.forget(call.parameter);
  net::HttpReply reply;
  if (!there) {
    reply = problem(there.error());
  } else if (!*there) {
    reply = problem(fail(ErrorCode::not_found,
                         fmt::format("nothing was tuned for '{}' on this machine", call.parameter))
                        .field("model"));
  } else {
    reply.status = 204;
    reply.content_type.clear();
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

#include "api/openai/openai_surface.hpp"

#include <fmt/format.h>

#include "api/errors.hpp"
#include "api/openai/relay.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "bindings/openai/peek.hpp"

namespace corral::api::openai {
namespace {

void append_model(std::string& out, const scheduler::ModelStatus& model, const std::string& name) {
  out += R"({"id":)";
  json::append_quoted(out, name);
  out += fmt::format(
      R"(,"object":"model","created":{},"owned_by":"corral","state":)",
      std::chrono::duration_cast<std::chrono::seconds>(model.modified.time_since_epoch()).count());
  json::append_quoted(out, scheduler::to_string(model.state));
  if (model.context_length != 0)
    out += fmt::format(R"(,"context_length":{})", model.context_length);
  if (auto names = scheduler::capabilities_of(model); !names.empty()) {
    out += fmt::format(R"(,"capabilities":["{}"])", fmt::join(names, R"(",")"));
  }
  out += '}';
}

}  // namespace

void OpenAiSurface::keep_answers(net::Shards& shards, gateway::AnswerStore& store) {
  cached_ = std::make_unique<CachedAnswers>(
      shards, store, [this](Call& call, Order& order) { return make_answer(call, order); });
}

void OpenAiSurface::join_embeddings(net::Shards& shards, telemetry::Metrics& metrics,
                                    std::chrono::milliseconds window, std::uint64_t seed) {
  batcher_ = std::make_unique<EmbeddingBatcher>(
      EmbeddingBatcher::Parts{
          shards, metrics, [this](Order& order) { return ask_jointly(order); },
          [this](Call& call, Order& order) { return answer_alone(call, order); }, seed},
      window);
}

void OpenAiSurface::set_embedding_window(std::chrono::milliseconds window) {
  if (batcher_ != nullptr) batcher_->set_window(window);
}

net::Task<void> OpenAiSurface::stop() {
  if (cached_ != nullptr) co_await cached_->stop();
  if (batcher_ != nullptr) co_await batcher_->stop();
}

void OpenAiSurface::add_routes(Router& router) {
  using inference::Operation;
  auto text = [this](Operation operation) {
    return [this, operation](Call& call) { return generate(call, operation); };
  };
  router.add({"POST", "/v1/chat/completions", "openai", text(Operation::chat)});
  router.add({"POST", "/v1/completions", "openai", text(Operation::completion)});
  router.add({"POST", "/v1/embeddings", "openai", text(Operation::embedding)});
  router.add({"GET", "/v1/models", "openai", [this](Call& call) { return list_models(call); }});
  router.add({"GET", "/v1/models/{...}", "openai", [this](Call& call) { return one_model(call); }});
}

net::Task<void> OpenAiSurface::generate(Call& call, inference::Operation operation) {
  auto& exchange = call.exchange;
  call.notes.operation = operation;
  auto body = co_await exchange.read_body();
  if (!body) {
    net::HttpReply refusal = openai_error(body.error());
    if (body.error().code == ErrorCode::timeout) refusal.status = 408;  // the client was slow
    (void)co_await exchange.reply(std::move(refusal));
    co_return;
  }
  auto request = bindings::openai::peek(operation, *body);
  if (!request) {
    (void)co_await exchange.reply(openai_error(request.error()));
    co_return;
  }
  request->request_id = call.request().request_id;

  auto who = caller_of(call.request(), *rules_.local());
  if (!who) {
    (void)co_await exchange.reply(openai_error(who.error()));
    co_return;
  }
  auto& headers = exchange.extra_headers();
  if (!who->priority_note.empty()) headers.set("x-corral-priority", who->priority_note);
  Order order{std::move(*request), std::move(who->caller)};
  auto cache_plan = plan(call, order);
  if (cache_plan) {
    co_await cached_->answer(call, std::move(order), std::move(*cache_plan));
  } else {
    co_await make_answer(call, order);
  }
}

std::optional<CachePlan> OpenAiSurface::plan(const Call& call, const Order& order) const {
  if (cached_ == nullptr) return std::nullopt;
  auto match = dispatcher_.routing()->find(order.request.model.str());
  if (match.route == nullptr) return std::nullopt;
  return plan_cache(call.request(), order.request, *match.route, order.caller.priority);
}

// From a backend. The exchange may be the client's own, or stand for many that want the same.
net::Task<void> OpenAiSurface::make_answer(Call& call, Order& order) {
  if (batcher_ != nullptr && order.request.operation == inference::Operation::embedding) {
    auto match = dispatcher_.routing()->find(order.request.model.str());
    if (match.route != nullptr) {
      auto route = match.route;  // kept while the table is replaced
      co_await batcher_->answer(call, order, *route);
      co_return;
    }
  }
  co_await answer_alone(call, order);
}

// For several requests of embeddings at once.
net::Task<JointAnswer> OpenAiSurface::ask_jointly(Order& order) {
  JointAnswer answer;
  gateway::Attempts attempts;
  order.caller.attempts = &attempts;
  gateway::Dispatched dispatched;
  auto opened = co_await dispatcher_.open(order.request, order.caller, dispatched);
  if (!opened) {
    note_attempts(answer.notes, answer.headers, attempts);
    note_model(answer.notes, order.request.model.str());
    answer.document = std::unexpected(std::move(opened).error());
    co_return answer;
  }
  note_dispatch(answer.notes, answer.headers, dispatched);
  answer.document = document_of(dispatched, order.request);
  co_return answer;
}

net::Task<void> OpenAiSurface::answer_alone(Call& call, Order& order) {
  auto& exchange = call.exchange;
  auto& headers = exchange.extra_headers();
  bool stream = order.request.stream && order.request.operation != inference::Operation::embedding;
  if (stream) {
    order.caller.on_wait = [&exchange](const gateway::QueuePlace& place) {
      return tell_place(exchange, place);
    };
  }
  gateway::Attempts attempts;
  order.caller.attempts = &attempts;
  gateway::Dispatched dispatched;
  auto opened = co_await dispatcher_.open(order.request, order.caller, dispatched);
  if (!opened) {
    note_attempts(call.notes, headers, attempts);
    note_model(call.notes, order.request.model.str());
    co_await refuse(exchange, opened.error());
    co_return;
  }
  note_dispatch(call.notes, headers, dispatched);
  Relay relay(call, dispatcher_, order.request, order.caller, dispatched);
  if (stream) {
    co_await relay.stream();
  } else {
    co_await relay.document();
  }
  relay.note_answer();
}

// The name as we know it, not as it was spelled: metrics must not grow with every spelling.
void OpenAiSurface::note_model(CallNotes& notes, std::string_view name) const {
  auto match = dispatcher_.routing()->find(name);
  if (match.route != nullptr) notes.model = match.route->name();
}

net::Task<void> OpenAiSurface::list_models(Call& call) {
  auto catalog = scheduler_.catalog();
  std::string body = R"({"object":"list","data":[)";
  bool first = true;
  auto append = [&](const scheduler::ModelStatus& model, const std::string& name) {
    if (!first) body += ',';
    first = false;
    append_model(body, model, name);
  };
  for (const auto& model : catalog->models) {
    if (model.state == scheduler::ModelState::unusable) continue;
    append(model, model.name);
    for (const auto& alias : model.aliases) append(model, alias);
  }
  body += "]}";
  net::HttpReply reply;
  reply.body = std::move(body);
  (void)co_await call.exchange.reply(std::move(reply));
}

net::Task<void> OpenAiSurface::one_model(Call& call) {
  auto catalog = scheduler_.catalog();
  net::HttpReply reply;
  if (const auto* model = catalog->find(call.parameter)) {
    append_model(reply.body, *model, call.parameter);
  } else {
    reply = openai_error(catalog->unknown_model(call.parameter));
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::openai

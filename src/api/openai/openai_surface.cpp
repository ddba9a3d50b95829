#include "api/openai/openai_surface.hpp"

#include <fmt/core.h>

#include "api/errors.hpp"
#include "api/openai/aggregate.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "bindings/openai/peek.hpp"

namespace corral::api::openai {
namespace {

using SteadyClock = std::chrono::steady_clock;
using bindings::Answer;

double milliseconds(std::chrono::nanoseconds value) {
  return static_cast<double>(value.count()) / 1e6;
}

// Where the time went before the first byte of the answer (Server-Timing, W3C).
void add_timing(net::Headers& headers, const gateway::Dispatched& dispatched) {
  char text[96];
  auto end = fmt::format_to_n(text, sizeof text, "wait;dur={:.3f}, upstream;dur={:.3f}",
                              milliseconds(dispatched.waited), milliseconds(dispatched.opened));
  headers.set("server-timing", std::string_view(text, end.size));
}

void note_answer(CallNotes& notes, const Answer& answer, SteadyClock::time_point started) {
  notes.usage = answer.usage();
  if (auto first = answer.first_token_at()) {
    notes.first_token = *first - started;
    notes.generating = SteadyClock::now() - *first;
  }
}

Error total_timeout(std::chrono::milliseconds limit) {
  return fail(ErrorCode::timeout,
              fmt::format("the answer was not complete after {}", format_duration(limit)))
      .hint("ask for fewer tokens, or raise gateway.total_timeout");
}

// Ends a stream that has begun with an error the client can read; without [DONE].
net::Task<void> end_with_error(net::HttpExchange& exchange, const Error& error) {
  std::string event = "data: " + openai_error_body(error) + "\n\n";
  std::string_view parts[] = {event};
  auto sent = co_await exchange.send(parts);
  if (sent) (void)co_await exchange.finish();
}

struct Relay {
  Call& call;
  Answer& answer;
  SteadyClock::time_point deadline;
  std::chrono::milliseconds limit;
};

// An event stream, passed on as it comes.
net::Task<void> relay_stream(Relay relay) {
  auto& exchange = relay.call.exchange;
  auto piece = co_await relay.answer.next_bytes();
  if (!piece) {
    (void)co_await exchange.reply(openai_error(piece.error()));
    co_return;
  }
  exchange.extra_headers().set("cache-control", "no-cache");
  exchange.extra_headers().set("x-accel-buffering", "no");
  if (!exchange.begin(200, "text/event-stream")) co_return;
  while (!piece->empty()) {
    std::string_view parts[] = {*piece};
    auto sent = co_await exchange.send(parts);
    if (!sent) co_return;
    piece = co_await relay.answer.next_bytes();
    if (piece && SteadyClock::now() > relay.deadline) {
      piece = std::unexpected(total_timeout(relay.limit));
    }
    if (!piece) {
      relay.call.notes.failed_midway = true;
      co_await end_with_error(exchange, piece.error());
      co_return;
    }
  }
  (void)co_await exchange.finish();
}

// One document, passed on whole.
net::Task<void> relay_document(Relay relay) {
  auto& exchange = relay.call.exchange;
  auto document = co_await relay.answer.next_bytes();
  if (!document) {
    (void)co_await exchange.reply(openai_error(document.error()));
    co_return;
  }
  net::HttpReply reply;
  reply.body.assign(*document);
  (void)co_await exchange.reply(std::move(reply));
}

// One document, put together from the backend's stream.
net::Task<void> aggregate(Relay relay, inference::Operation operation, std::string model) {
  auto& exchange = relay.call.exchange;
  Aggregate whole(operation);
  for (;;) {
    auto event = co_await relay.answer.next_event();
    if (event && SteadyClock::now() > relay.deadline) {
      event = std::unexpected(total_timeout(relay.limit));
    }
    if (!event) {
      (void)co_await exchange.reply(openai_error(event.error()));
      co_return;
    }
    if (!event->has_value()) break;
    whole.add(**event);
  }
  net::HttpReply reply;
  reply.body = whole.document(model);
  (void)co_await exchange.reply(std::move(reply));
}

void append_model(std::string& out, const scheduler::ModelStatus& model, const std::string& name) {
  out += R"({"id":)";
  json::append_quoted(out, name);
  out += fmt::format(
      R"(,"object":"model","created":{},"owned_by":"corral","state":)",
      std::chrono::duration_cast<std::chrono::seconds>(model.modified.time_since_epoch()).count());
  json::append_quoted(out, scheduler::to_string(model.state));
  if (model.context_length != 0)
    out += fmt::format(R"(,"context_length":{})", model.context_length);
  out += '}';
}

}  // namespace

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

  gateway::CallLimits limits = *limits_.local();
  auto deadline = SteadyClock::now() + limits.total;
  auto dispatched = co_await dispatcher_.open(*request, limits.timeouts);
  // The name as we know it, not as it was spelled: metrics must not grow with every spelling.
  auto catalog = scheduler_.catalog();
  if (const auto* known = catalog->find(request->model.str())) call.notes.model = known->name;
  if (!dispatched) {
    (void)co_await exchange.reply(openai_error(dispatched.error()));
    co_return;
  }
  call.notes.endpoint = dispatched->lease.endpoint()->name().str();
  call.notes.waited = dispatched->waited;
  call.notes.upstream = dispatched->opened;
  add_timing(exchange.extra_headers(), *dispatched);
  Answer& answer = *dispatched->answer;
  Relay relay{call, answer, deadline, limits.total};
  if (request->stream && operation != inference::Operation::embedding) {
    co_await relay_stream(relay);
  } else if (answer.relayable()) {
    co_await relay_document(relay);
  } else {
    co_await aggregate(relay, operation, request->model.str());
  }
  note_answer(call.notes, answer, call.request().started);
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

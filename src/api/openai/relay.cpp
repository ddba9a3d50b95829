#include "api/openai/relay.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <span>

#include "api/errors.hpp"
#include "api/openai/aggregate.hpp"
#include "gateway/prepare.hpp"

namespace corral::api::openai {
namespace {

using SteadyClock = std::chrono::steady_clock;

double milliseconds(std::chrono::nanoseconds value) {
  return static_cast<double>(value.count()) / 1e6;
}

void append_integer(std::string& out, std::int64_t value) {
  fmt::format_int text(value);
  out.append(text.data(), text.size());
}

// "12.345" milliseconds; formatting a double would cost more than all else in this file.
void append_milliseconds(std::string& out, std::chrono::nanoseconds value) {
  auto micro = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
  append_integer(out, micro / 1000);
  out += '.';
  auto rest = static_cast<unsigned>(micro % 1000);
  for (unsigned digit : {rest / 100, rest / 10 % 10, rest % 10}) {
    out += static_cast<char>('0' + digit);
  }
}

// Where the time went before the first byte of the answer (Server-Timing, W3C).
void add_timing(net::Headers& headers, const gateway::Dispatched& dispatched) {
  std::string text = "wait;dur=";
  append_milliseconds(text, dispatched.waited);
  text += ", upstream;dur=";
  append_milliseconds(text, dispatched.opened);
  headers.set("server-timing", text);
}

// Ends a stream that has begun with an error the client can read; without [DONE].
net::Task<void> end_with_error(net::HttpExchange& exchange, const Error& error) {
  std::string event = "data: " + openai_error_body(error) + "\n\n";
  std::string_view parts[] = {event};
  auto sent = co_await exchange.send(parts);
  if (sent) (void)co_await exchange.finish();
}

}  // namespace

Result<void> begin_stream(net::HttpExchange& exchange) {
  if (exchange.begun()) return {};
  exchange.extra_headers().set("cache-control", "no-cache");
  exchange.extra_headers().set("x-accel-buffering", "no");
  return exchange.begin(200, "text/event-stream");
}

net::Task<void> refuse(net::HttpExchange& exchange, const Error& error) {
  if (exchange.begun()) {
    co_await end_with_error(exchange, error);
  } else {
    (void)co_await exchange.reply(openai_error(error));
  }
}

net::Task<void> tell_place(net::HttpExchange& exchange, const gateway::QueuePlace& place) {
  if (!exchange.begun()) {
    exchange.extra_headers().set("x-corral-queue-position", fmt::format("{}", place.position));
    if (place.estimate) {
      exchange.extra_headers().set("x-corral-queue-estimate-ms",
                                   fmt::format("{}", place.estimate->count()));
    }
    if (!begin_stream(exchange)) co_return;
  }
  std::string comment = ": " + gateway::describe(place) + "\n\n";
  std::string_view parts[] = {comment};
  (void)co_await exchange.send(parts);
}

void note_attempts(CallNotes& notes, net::Headers& headers, const gateway::Attempts& attempts) {
  if (attempts.count == 0) return;
  notes.endpoint = attempts.endpoint;
  headers.set("x-corral-endpoint", attempts.endpoint);
  std::string count;
  append_integer(count, attempts.count);
  headers.set("x-corral-attempts", count);
}

void note_dispatch(CallNotes& notes, net::Headers& headers, const gateway::Dispatched& dispatched) {
  notes.model = dispatched.route->name();
  note_attempts(notes, headers, {dispatched.place.endpoint().name().str(), dispatched.attempts});
  notes.waited = dispatched.waited;
  notes.queued = dispatched.queued;
  notes.upstream = dispatched.opened;
  if (dispatched.queued_at != 0) {
    headers.set("x-corral-queue-position", fmt::format("{}", dispatched.queued_at));
    headers.set("x-corral-queue-wait-ms", fmt::format("{:.0f}", milliseconds(dispatched.waited)));
  }
  add_timing(headers, dispatched);
}

Relay::Relay(Call& call, gateway::Dispatcher& dispatcher, const inference::Request& request,
             const gateway::Caller& caller, gateway::Dispatched& dispatched)
    : call_(call),
      dispatcher_(dispatcher),
      request_(request),
      caller_(caller),
      dispatched_(dispatched),
      deadline_(call.request().started + dispatched.route->limits.total) {
  if (request.stream && dispatched.route->settings().resume) {
    record_ = std::make_unique<bindings::openai::StreamRecord>();
  }
}

net::Task<bool> Relay::send(std::string_view held, std::string_view piece) {
  if (record_ != nullptr) {
    if (continued_) {
      spliced_ = record_->spliced(held) + record_->spliced(piece);
      held = spliced_;
      piece = {};
    }
    record_->note(held);
    record_->note(piece);
    if (held.empty() && piece.empty()) co_return true;
  }
  std::string_view parts[] = {held, piece};
  auto sent = co_await call_.exchange.send(parts);
  co_return sent.has_value();
}

net::Task<Result<std::string_view>> Relay::next() {
  auto piece = co_await dispatched_.answer->next_bytes();
  if (piece && !piece->empty() && late()) {
    co_return std::unexpected(gateway::too_late(dispatched_.route->limits.total));
  }
  co_return piece;
}

// The rest of a stream that broke off, from another endpoint.
net::Task<Result<void>> Relay::go_on(const Error& why) {
  bool possible = record_ != nullptr && record_->resumable() && !late() &&
                  gateway::retryable(gateway::outcome_of(why)) &&
                  ++resumptions_ < dispatched_.route->settings().tries;
  if (!possible) co_return std::unexpected(why);
  auto body = record_->continued_body(request_);
  if (!body) co_return std::unexpected(why);
  rest_ = request_;
  rest_body_ = std::move(*body);
  rest_.body = rest_body_;
  gateway::Dispatched rest;
  auto opened = co_await dispatcher_.go_on(dispatched_, rest_, caller_, rest);
  if (!opened) co_return std::unexpected(why);
  dispatched_.clear();
  dispatched_ = std::move(rest);
  continued_ = true;
  co_return Result<void>();
}

net::Task<void> Relay::stream() {
  auto& exchange = call_.exchange;
  if (!begin_stream(exchange)) co_return;
  bool listening = co_await send(dispatched_.held, dispatched_.first);
  while (listening && !dispatched_.whole) {
    auto piece = co_await next();
    if (piece && piece->empty()) break;
    if (piece) {
      listening = co_await send({}, *piece);
      continue;
    }
    dispatched_.place.report(gateway::outcome_of(piece.error()));
    auto continued = co_await go_on(piece.error());
    if (!continued) {
      call_.notes.failed_midway = true;
      co_await end_with_error(exchange, continued.error());
      co_return;
    }
    listening = co_await send(dispatched_.held, dispatched_.first);
  }
  if (!listening) co_return;
  dispatched_.place.report(gateway::Outcome::success);
  (void)co_await exchange.finish();
}

std::string document_of(const gateway::Dispatched& dispatched, const inference::Request& request) {
  if (dispatched.answer->relayable()) return std::string(dispatched.first);
  Aggregate whole(request.operation);
  for (const auto& event : dispatched.events) whole.add(event);
  return whole.document(request.model.str());
}

net::Task<void> Relay::document() {
  net::HttpReply reply;
  reply.body = document_of(dispatched_, request_);
  (void)co_await call_.exchange.reply(std::move(reply));
}

void Relay::note_answer() {
  const auto& answer = *dispatched_.answer;
  call_.notes.usage = answer.usage();
  if (auto first = answer.first_token_at()) {
    call_.notes.first_token = *first - call_.request().started;
    call_.notes.generating = SteadyClock::now() - *first;
  }
}

}  // namespace corral::api::openai

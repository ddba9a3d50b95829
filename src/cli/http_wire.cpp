// ServerWire over net::HttpClient. Every exchange has an event loop of its own on the calling
// thread; Ctrl-C cancels it, which closes the connection, and so the server stops the work.
#include <csignal>
#include <memory>

#include "base/text.hpp"
#include "cli/server_api.hpp"
#include "net/http_client.hpp"
#include "net/shard.hpp"
#include "net/tls.hpp"

namespace corral::cli {

namespace {

constexpr std::uint64_t kLongestAnswer = 64u << 20;
// A large model may load for minutes before the first byte; Ctrl-C is the way out of waiting.
constexpr net::HttpTimeouts kTimeouts{.connect = std::chrono::seconds(5),
                                      .first_byte = std::chrono::minutes(30),
                                      .between_bytes = std::chrono::minutes(10)};

class HttpWire final : public ServerWire {
 public:
  HttpWire(net::HttpTarget target, ServerAddress address)
      : target_(std::move(target)), address_(std::move(address)) {}

  Outcome<WireAnswer> exchange(const WireRequest& request, const Sink& sink) override;
  std::string server() const override { return address_.url; }

 private:
  net::Task<Outcome<WireAnswer>> perform(const WireRequest& request, const Sink& sink);
  net::Headers headers_for(const WireRequest& request) const;
  Failure explain(Error error) const;

  net::HttpTarget target_;
  ServerAddress address_;
};

// Ends the loop once its coroutine is gone; a coroutine cannot wait for its own end.
void stop_when_done(net::Shards& shards, net::TaskGroup& group) {
  if (group.running() == 0) {
    shards.stop();
  } else {
    shards.control().post([&] { stop_when_done(shards, group); });
  }
}

net::Task<void> record(net::Task<Outcome<WireAnswer>> task,
                       std::optional<Outcome<WireAnswer>>& result, net::Shards& shards,
                       net::TaskGroup& group) {
  result.emplace(co_await std::move(task));
  stop_when_done(shards, group);
}

Outcome<WireAnswer> HttpWire::exchange(const WireRequest& request, const Sink& sink) {
  net::Shards shards(0);
  std::optional<Outcome<WireAnswer>> result;
  bool interrupted = false;
  {
    net::TaskGroup group(shards.control());
    net::SignalWatch watch(shards.control(), {SIGINT}, [&](int) {
      interrupted = true;
      group.cancel();
    });
    group.spawn(record(perform(request, sink), result, shards, group));
    shards.run_control();
  }
  if (interrupted) return failure(ExitCode::interrupted, "interrupted");
  if (!result) return failure(ExitCode::failed, "the exchange with the server ended early");
  return std::move(*result);
}

net::Headers HttpWire::headers_for(const WireRequest& request) const {
  net::Headers headers;
  headers.add("Accept",
              request.event_stream ? "text/event-stream, application/json" : "application/json");
  if (!request.body.empty()) headers.add("Content-Type", request.content_type);
  if (request.only_new) headers.add("If-None-Match", "*");
  if (!address_.api_key.empty()) headers.add("Authorization", "Bearer " + address_.api_key);
  return headers;
}

Failure HttpWire::explain(Error error) const {
  if (error.code == ErrorCode::cancelled) return {ExitCode::interrupted, "interrupted", {}};
  if (error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout) {
    bool here = target_.host == "localhost" || target_.host == "::1" ||
                target_.host.starts_with("127.") ||
                target_.scheme == net::HttpTarget::Scheme::unix_socket;
    return {ExitCode::unreachable, fmt::format("no server answers at {}", address_.url),
            here ? "is it running? start it with: corral serve"
                 : fmt::format("is the address right? {}", error.message)};
  }
  return {ExitCode::failed, fmt::format("{}: {}", address_.url, error.message), error.hint_text};
}

net::Task<Outcome<WireAnswer>> HttpWire::perform(const WireRequest& request, const Sink& sink) {
  net::Headers headers = headers_for(request);
  std::string_view parts[] = {request.body};
  net::ClientRequest wanted;
  wanted.method = request.method;
  wanted.path = request.path;
  wanted.headers = &headers;
  if (!request.body.empty()) wanted.body = parts;
  wanted.event_stream = request.event_stream;
  auto response = co_await net::shard_client().send(target_, wanted, kTimeouts);
  if (!response) co_return std::unexpected(explain(std::move(response.error())));
  net::ClientResponse& from = **response;
  WireAnswer answer;
  answer.status = from.status();
  answer.content_type = from.headers().get("content-type").value_or("");
  bool stream = sink && request.event_stream && answer.status == 200 &&
                to_lower(answer.content_type).starts_with("text/event-stream");
  if (!stream) {
    auto body = co_await from.read_all(kLongestAnswer);
    if (!body) co_return std::unexpected(explain(std::move(body.error())));
    answer.body = std::move(*body);
    co_return answer;
  }
  while (true) {
    auto piece = co_await from.read_some();
    if (!piece) {
      if (piece.error().code == ErrorCode::cancelled) {
        co_return std::unexpected(explain(std::move(piece.error())));
      }
      co_return failure(ExitCode::failed, "the answer was cut short: " + piece.error().message);
    }
    if (piece->empty() || !sink(*piece)) co_return answer;
  }
}

}  // namespace

Outcome<std::unique_ptr<ServerWire>> http_wire(const ServerAddress& address) {
  ServerAddress given = address;
  if (given.url.find("://") == std::string::npos && !given.url.starts_with("unix:")) {
    given.url = "http://" + given.url;
  }
  while (given.url.size() > 1 && given.url.ends_with('/')) given.url.pop_back();
  auto target = net::parse_target(given.url);
  if (!target) return failure(std::move(target.error()), ExitCode::usage);
  if (target->scheme == net::HttpTarget::Scheme::https) {
    auto tls = net::TlsContext::client({});
    if (!tls) return failure(std::move(tls.error()));
    target->tls = std::move(*tls);
  }
  return std::make_unique<HttpWire>(std::move(*target), std::move(given));
}

}  // namespace corral::cli

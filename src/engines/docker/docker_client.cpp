#include "engines/docker/docker_client.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <system_error>

#include "base/percent.hpp"

namespace corral::engines::docker {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kLargestAnswer = 16u << 20;
constexpr net::HttpTimeouts kQuick{seconds(5), seconds(60), seconds(30)};
// Layers are unpacked without a word.
constexpr net::HttpTimeouts kPull{seconds(5), minutes(5), minutes(15)};
// Hours may pass without an event; whoever listens begins anew after this.
constexpr net::HttpTimeouts kListen{seconds(5), minutes(5), minutes(60)};

// {"label":["corral.container"]}, percent-encoded.
constexpr std::string_view kOurs = "%7B%22label%22%3A%5B%22corral.container%22%5D%7D";
constexpr std::string_view kOurEvents =
    "%7B%22label%22%3A%5B%22corral.container%22%5D%2C%22type%22%3A%5B%22container%22%5D%7D";

bool is_cause(const Error& error, int number) {
  return error.cause == std::generic_category().message(number);
}

// The engine's own words, with the status it gave them.
Error refusal(int status, std::string_view body, std::string_view what) {
  std::string said = error_message(body);
  if (said.empty()) said = fmt::format("status {}", status);
  ErrorCode code = ErrorCode::upstream;
  if (status == 404) code = ErrorCode::not_found;
  if (status == 409) code = ErrorCode::conflict;
  if (status == 400) code = ErrorCode::invalid_argument;
  Error error = fail(code, fmt::format("the Docker Engine refuses to {}: {}", what, said));
  error.peer_status = status;
  return error;
}

}  // namespace

// Held while a call is under way.
class DockerClient::Place {
 public:
  explicit Place(DockerClient& client) : client_(client) {}
  Place(const Place&) = delete;
  ~Place() { client_.give_place(); }

 private:
  DockerClient& client_;
};

DockerClient::DockerClient(std::string socket) : socket_(std::move(socket)) {
  target_.scheme = net::HttpTarget::Scheme::unix_socket;
  target_.port = 0;
  target_.socket_path = socket_;
}

net::Task<bool> DockerClient::take_place() {
  if (under_way_ < kAtOnce) {
    ++under_way_;
    co_return true;
  }
  auto turn = net::OneShot<bool>::create();
  waiting_.push_back(turn);
  auto given = co_await turn->wait();
  co_return given.has_value();
}

void DockerClient::give_place() {
  while (!waiting_.empty()) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    if (next->fulfil(true)) return;  // else it was cancelled meanwhile
  }
  --under_way_;
}

Error DockerClient::unreachable(Error error) const {
  if (error.code != ErrorCode::unavailable) return error;
  auto why = fmt::format("the Docker Engine cannot be reached at {}", socket_);
  if (is_cause(error, EACCES) || is_cause(error, EPERM)) {
    return fail(ErrorCode::forbidden, why + ": permission denied")
        .hint(
            "let the user that runs Corral into the group docker, or name a socket of its own in "
            "docker.socket");
  }
  if (is_cause(error, ENOENT)) why += ": there is no such socket";
  if (is_cause(error, ECONNREFUSED)) why += ": nobody answers there";
  return fail(ErrorCode::unavailable, std::move(why))
      .hint(
          "is Docker running? docker.socket names its socket; for Podman start podman system "
          "service")
      .because(error.cause);
}

net::Task<Result<std::unique_ptr<net::ClientResponse>>> DockerClient::open(Call call) {
  std::string path = std::move(call.path);
  if (call.versioned) {
    CORRAL_CO_TRY(auto spoken, co_await version());
    path = fmt::format("/v{}{}", to_string(spoken), path);
  }
  net::Headers headers;
  if (!call.body.empty()) headers.add("content-type", "application/json");
  std::string_view parts[] = {call.body};
  net::ClientRequest request;
  request.method = call.method;
  request.path = path;
  request.headers = &headers;
  if (!call.body.empty()) request.body = parts;
  request.event_stream = call.stream;
  auto answer = co_await net::shard_client().send(target_, request, call.timeouts);
  if (!answer) {
    // Another one may listen there when it comes back.
    if (answer.error().code == ErrorCode::unavailable) version_.reset();
    co_return std::unexpected(unreachable(std::move(answer).error()));
  }
  co_return std::move(*answer);
}

net::Task<Result<DockerClient::Whole>> DockerClient::whole(Call call) {
  bool mine = co_await take_place();
  if (!mine) co_return fail(ErrorCode::cancelled, "the caller left");
  Place place(*this);
  CORRAL_CO_TRY(auto answer, co_await open(std::move(call)));
  Whole result;
  result.status = answer->status();
  CORRAL_CO_TRY(result.body, co_await answer->read_all(kLargestAnswer));
  co_return result;
}

net::Task<Result<void>> DockerClient::command(Call call, std::string what) {
  CORRAL_CO_TRY(auto answer, co_await whole(std::move(call)));
  // 304: it is as it should be already.
  if (answer.status < 300 || answer.status == 304) co_return Result<void>();
  co_return std::unexpected(refusal(answer.status, answer.body, what));
}

net::Task<Result<ApiVersion>> DockerClient::version() {
  if (version_) co_return *version_;
  Call call{.path = "/version", .timeouts = kQuick, .versioned = false};
  CORRAL_CO_TRY(auto answer, co_await open(std::move(call)));
  CORRAL_CO_TRY(auto body, co_await answer->read_all(kLargestAnswer));
  if (answer->status() != 200) co_return std::unexpected(refusal(answer->status(), body, "talk"));
  CORRAL_CO_TRY(auto known, parse_versions(body));
  CORRAL_CO_TRY(auto agreed, negotiate(known.least, known.newest));
  version_ = agreed;
  co_return agreed;
}

net::Task<Result<std::vector<ContainerSummary>>> DockerClient::list() {
  CORRAL_CO_TRY(auto answer,
                co_await whole({.path = fmt::format("/containers/json?all=true&filters={}", kOurs),
                                .timeouts = kQuick}));
  if (answer.status != 200) {
    co_return std::unexpected(refusal(answer.status, answer.body, "list containers"));
  }
  co_return parse_containers(answer.body);
}

net::Task<Result<std::optional<ContainerDetails>>> DockerClient::inspect(std::string name) {
  using Found = std::optional<ContainerDetails>;
  CORRAL_CO_TRY(auto answer, co_await whole({.path = fmt::format("/containers/{}/json", name),
                                             .timeouts = kQuick}));
  if (answer.status == 404) co_return Found();
  if (answer.status != 200) {
    co_return std::unexpected(refusal(answer.status, answer.body, "show the container"));
  }
  CORRAL_CO_TRY(auto details, parse_container(answer.body));
  co_return Found(std::move(details));
}

net::Task<Result<bool>> DockerClient::has_image(std::string reference) {
  CORRAL_CO_TRY(auto answer, co_await whole({.path = fmt::format("/images/{}/json", reference),
                                             .timeouts = kQuick}));
  if (answer.status == 404) co_return false;
  if (answer.status == 200) co_return true;
  co_return std::unexpected(refusal(answer.status, answer.body, "show the image"));
}

net::Task<Result<void>> DockerClient::pull(std::string reference, Progress progress) {
  auto image = parse_image(reference);
  Call call{.method = "POST",
            .path = fmt::format("/images/create?fromImage={}&tag={}", percent_encode(image.name),
                                percent_encode(image.tag)),
            .timeouts = kPull,
            .stream = true};
  CORRAL_CO_TRY(auto answer, co_await open(std::move(call)));
  if (answer->status() != 200) {
    CORRAL_CO_TRY(auto body, co_await answer->read_all(kLargestAnswer));
    auto error = refusal(answer->status(), body, "pull the image");
    co_return std::unexpected(std::move(error));
  }
  JsonStream lines;
  PullMeter meter;
  for (;;) {
    CORRAL_CO_TRY(auto bytes, co_await answer->read_some());
    if (bytes.empty()) break;
    CORRAL_CO_CHECK(lines.feed(bytes, [&](std::string_view line) { return meter.take(line); }));
    if (progress) progress(meter);
  }
  if (!lines.between()) co_return fail(ErrorCode::upstream, "the pull was cut short");
  co_return Result<void>();
}

net::Task<Result<std::string>> DockerClient::create(std::string name, std::string body) {
  CORRAL_CO_TRY(auto answer,
                co_await whole({.method = "POST",
                                .path = fmt::format("/containers/create?name={}", name),
                                .body = std::move(body),
                                .timeouts = kQuick}));
  if (answer.status != 201) {
    co_return std::unexpected(refusal(answer.status, answer.body, "make the container"));
  }
  co_return parse_created(answer.body);
}

net::Task<Result<void>> DockerClient::start(std::string name) {
  co_return co_await command(
      {.method = "POST", .path = fmt::format("/containers/{}/start", name), .timeouts = kQuick},
      "start the container");
}

net::Task<Result<void>> DockerClient::stop(std::string name, milliseconds patience) {
  auto timeouts = kQuick;
  timeouts.first_byte += patience;
  auto wait = std::chrono::ceil<seconds>(patience).count();
  auto done = co_await command({.method = "POST",
                                .path = fmt::format("/containers/{}/stop?t={}", name, wait),
                                .timeouts = timeouts},
                               "stop the container");
  if (!done && done.error().code == ErrorCode::not_found) co_return Result<void>();
  co_return done;
}

net::Task<Result<void>> DockerClient::kill(std::string name) {
  co_return co_await command({.method = "POST",
                              .path = fmt::format("/containers/{}/kill?signal=KILL", name),
                              .timeouts = kQuick},
                             "kill the container");
}

net::Task<Result<void>> DockerClient::remove(std::string name) {
  auto done = co_await command({.method = "DELETE",
                                .path = fmt::format("/containers/{}?force=true&v=true", name),
                                .timeouts = kQuick},
                               "remove the container");
  if (!done && done.error().code == ErrorCode::not_found) co_return Result<void>();
  co_return done;
}

net::Task<Result<ContainerUsage>> DockerClient::usage(std::string name) {
  CORRAL_CO_TRY(
      auto answer,
      co_await whole({.path = fmt::format("/containers/{}/stats?stream=false&one-shot=true", name),
                      .timeouts = kQuick}));
  if (answer.status != 200) {
    co_return std::unexpected(refusal(answer.status, answer.body, "show statistics"));
  }
  co_return parse_usage(answer.body);
}

net::Task<Result<void>> DockerClient::logs(std::string name, LogQuery query,
                                           FrameSplitter::Sink sink) {
  auto range =
      query.since > 0 ? fmt::format("since={}", query.since) : fmt::format("tail={}", query.tail);
  Call call{.path = fmt::format("/containers/{}/logs?stdout=true&stderr=true&follow={}&{}", name,
                                query.follow, range),
            .timeouts = query.follow ? kListen : kQuick,
            .stream = query.follow};
  CORRAL_CO_TRY(auto answer, co_await open(std::move(call)));
  if (answer->status() != 200) {
    CORRAL_CO_TRY(auto body, co_await answer->read_all(kLargestAnswer));
    auto error = refusal(answer->status(), body, "show the log");
    co_return std::unexpected(std::move(error));
  }
  FrameSplitter frames;
  for (;;) {
    CORRAL_CO_TRY(auto bytes, co_await answer->read_some());
    if (bytes.empty()) co_return Result<void>();
    CORRAL_CO_CHECK(frames.feed(bytes, sink));
  }
}

net::Task<Result<void>> DockerClient::events(std::function<void()> open_now, EventSink sink) {
  CORRAL_CO_TRY(auto answer, co_await open({.path = fmt::format("/events?filters={}", kOurEvents),
                                            .timeouts = kListen,
                                            .stream = true}));
  if (answer->status() != 200) {
    CORRAL_CO_TRY(auto body, co_await answer->read_all(kLargestAnswer));
    auto error = refusal(answer->status(), body, "tell events");
    co_return std::unexpected(std::move(error));
  }
  if (open_now) open_now();
  JsonStream lines;
  auto take = [&](std::string_view line) -> Result<void> {
    CORRAL_TRY(auto event, parse_event(line));
    sink(event);
    return {};
  };
  for (;;) {
    CORRAL_CO_TRY(auto bytes, co_await answer->read_some());
    if (bytes.empty()) co_return Result<void>();
    CORRAL_CO_CHECK(lines.feed(bytes, take));
  }
}

}  // namespace corral::engines::docker

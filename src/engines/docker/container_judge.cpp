#include "engines/docker/container_judge.hpp"

#include <fmt/core.h>

#include "net/http_client.hpp"

namespace corral::engines::docker {
namespace {

using std::chrono::milliseconds;
using Kind = ContainerActionKind;

constexpr net::HttpTimeouts kCheck{milliseconds(2'000), milliseconds(5'000), milliseconds(5'000)};

}  // namespace

ContainerPolicy policy_of(const config::ContainerSettings& settings) {
  ContainerPolicy policy;
  policy.start_timeout = settings.start_timeout;
  policy.pull = settings.pull;
  return policy;
}

// What an error of a step means for trying again.
ContainerFault fault_of(Kind step, const Error& error) {
  switch (error.code) {
    case ErrorCode::unavailable:
    case ErrorCode::forbidden:
    case ErrorCode::timeout:
    case ErrorCode::cancelled: return ContainerFault::later;
    case ErrorCode::unsupported:
    case ErrorCode::invalid_argument: return ContainerFault::permanent;
    case ErrorCode::not_found:
      return step == Kind::pull ? ContainerFault::permanent : ContainerFault::later;
    case ErrorCode::upstream:
      return step == Kind::pull ? ContainerFault::later : ContainerFault::crash;
    default: return ContainerFault::crash;
  }
}

Error end_reason(const ContainerDetails& details, const LogTail& tail) {
  std::string how = fmt::format("exit code {}", details.exit_code);
  if (details.exit_code > 128) how += fmt::format(", signal {}", details.exit_code - 128);
  if (details.out_of_memory) {
    return fail(ErrorCode::unavailable, fmt::format("it used more memory than it may ({})", how))
        .hint("raise its memory in docker.containers, or serve a smaller model")
        .because(tail.text());
  }
  if (!details.error.empty()) how += ": " + details.error;
  return fail(ErrorCode::upstream, fmt::format("it ended by itself ({})", how))
      .hint("corral containers logs shows its last words")
      .because(tail.text());
}

// An engine that loads its model says 503; whatever else it answers, it can be asked.
net::Task<bool> answers(const config::ContainerSettings& settings, std::uint16_t port) {
  net::HttpTarget target;
  target.host = "127.0.0.1";
  target.port = port;
  bool llamacpp = settings.binding == "llamacpp";
  std::string path = llamacpp ? "/health" : settings.path;
  while (path.ends_with('/')) path.pop_back();
  if (!llamacpp) path += "/models";
  net::Headers headers;
  if (!settings.api_key.empty()) {
    headers.add("authorization", "Bearer " + settings.api_key.value);
  }
  net::ClientRequest request;
  request.path = path;
  request.headers = &headers;
  auto answer = co_await net::shard_client().send(target, request, kCheck);
  if (!answer) co_return false;
  int status = (*answer)->status();
  co_return llamacpp ? status == 200 : status < 500;
}

}  // namespace corral::engines::docker

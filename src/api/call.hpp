// One request on its way through a surface, and what is learned about it for log and metrics.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "inference/request.hpp"
#include "inference/usage.hpp"
#include "net/http_server.hpp"

namespace corral::api {

struct CallNotes {
  std::string model;
  std::string endpoint;
  std::optional<inference::Operation> operation;
  inference::Usage usage;
  std::chrono::nanoseconds waited{0};                   // for a model and a place at it
  std::chrono::nanoseconds queued{0};                   // of that: for a place
  std::chrono::nanoseconds upstream{0};                 // from sending to the backend's first byte
  std::optional<std::chrono::nanoseconds> first_token;  // since the request began
  std::optional<std::chrono::nanoseconds> generating;   // from first token to the end
  bool failed_midway = false;
};

struct Call {
  net::HttpExchange& exchange;
  std::string parameter;  // the {part} of the route's path, percent-decoded
  CallNotes notes;

  const net::HttpRequest& request() const { return exchange.request(); }
};

using CallHandler = std::function<net::Task<void>(Call&)>;

}  // namespace corral::api

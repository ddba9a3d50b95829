#include "engines/rpc_servers.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "models/gguf_header.hpp"
#include "net/dial.hpp"

namespace corral::engines {
namespace {

constexpr std::size_t kMostHost = 253;

bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= kMostHost && !text.starts_with('-') &&
         std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                  c == '-' || c == '.' || c == '_';
         });
}

}  // namespace

Result<net::HttpTarget> parse_rpc_server(std::string_view text) {
  const auto colon = text.find(':');
  const auto port = parse_int(colon == std::string_view::npos ? "" : text.substr(colon + 1));
  if (!port || *port < 1 || *port > 65535 || !is_host(text.substr(0, colon))) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("'{}' is not the address of an rpc-server", models::printable(text)))
        .field("rpc")
        .hint("write HOST:PORT, with a name or an IPv4 address: 192.168.1.20:50052");
  }
  net::HttpTarget out;
  out.host = std::string(text.substr(0, colon));
  out.port = static_cast<std::uint16_t>(*port);
  return out;
}

net::Task<Result<void>> reach_rpc_servers(std::vector<std::string> servers,
                                          std::chrono::milliseconds patience) {
  net::Dialer dialer;
  for (const std::string& server : servers) {
    CORRAL_CO_TRY(auto target, parse_rpc_server(server));
    auto stream = co_await dialer.dial(std::move(target), patience);
    if (stream) continue;
    if (stream.error().code == ErrorCode::cancelled) co_return std::unexpected(stream.error());
    const bool late = stream.error().code == ErrorCode::timeout;
    co_return fail(ErrorCode::unavailable,
                   fmt::format("the rpc-server {} cannot be reached: {}", server,
                               late ? "it does not answer" : "nobody takes connections there"))
        .hint("start ggml-rpc-server there, or take it out of models.settings.MODEL.rpc")
        .because(stream.error().describe());
  }
  co_return Result<void>();
}

}  // namespace corral::engines

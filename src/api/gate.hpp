// Who may talk to us, before any surface sees a request: Host names (against DNS rebinding), CORS,
// and the API key. Pure decisions over one snapshot of the settings.
//
// A browser page from anywhere can make a browser send requests to 127.0.0.1; so a request must
// name a host that is ours (RFC 9110 section 7.2), and only listed origins may read answers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "net/http_server.hpp"

namespace corral::api {

// The API key that a request presents (Authorization: Bearer, or else X-Api-Key); empty: none.
std::string_view presented_key(const net::HttpRequest& request);

class Gate {
 public:
  explicit Gate(const config::ServerSettings& settings) : settings_(settings) {}

  // forbidden for a Host that is neither an address, nor a local name, nor listed.
  Result<void> check_host(const net::HttpRequest& request) const;
  // unauthenticated when a key is set and the request does not present it
  // (Authorization: Bearer, or X-Api-Key).
  Result<void> check_key(const net::HttpRequest& request) const;
  bool api_key_required() const { return !settings_.api_key.empty(); }

  // Adds the CORS headers when the request has an Origin that may read the answer.
  void add_cors(const net::HttpRequest& request, net::Headers& headers) const;
  bool origin_allowed(std::string_view origin) const;

 private:
  config::ServerSettings settings_;
};

}  // namespace corral::api

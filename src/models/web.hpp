// What models are fetched with: GET over net's client, with redirects followed by rules.
//
// A private address (loopback, local networks) is reached only for a host that is configured as a
// source, or named in sources.private_hosts; this is decided on the address that is connected to,
// for every redirect anew. A token goes to the origin (scheme, host, port) that it is for, and to
// no other that a redirect leads to. From https no redirect leads to http.
//
// Thread rule: belongs to its shard. Lifecycle: a reload makes a new one.
// Example:
//   CORRAL_CO_TRY(auto answer, co_await web.get({.url = "https://host/file", .bearer = token}));
//   if (answer.response->status() == 200) ...
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "net/http_client.hpp"
#include "net/task.hpp"

namespace corral::models {

// "https://host:port" and "/path?query". invalid_argument: no http(s) URL, credentials in it,
// characters that belong in no URL.
struct SplitUrl {
  std::string origin;  // scheme, host and port, lower case
  std::string path;
  net::HttpTarget target;
};
Result<SplitUrl> split_url(std::string_view url);

// What `location` means when it is answered for `base` (RFC 3986 section 5.2, http and https).
Result<std::string> resolve_url(std::string_view base, std::string_view location);

// All but slashes and unreserved characters is escaped.
std::string escape_path(std::string_view path);

struct WebRequest {
  std::string url;
  std::string bearer;        // a token for the origin of `token_origin`; empty: none
  std::string token_origin;  // empty: that of the URL
  std::vector<std::pair<std::string, std::string>> headers;
};

struct WebAnswer {
  std::unique_ptr<net::ClientResponse> response;
  std::string url;  // where the answer came from in the end
};

struct WebPage {
  std::string body;
  std::string url;
  net::Headers headers;
};

class Web {
 public:
  static constexpr int kMostRedirects = 10;

  Web(const config::SourcesSettings& sources, std::chrono::milliseconds silence);

  // The answer's head, whatever its status but a redirect. forbidden: a private address.
  net::Task<Result<WebAnswer>> get(WebRequest request);
  // A small document. Any status but 200 is an error: see `status_error`.
  net::Task<Result<WebPage>> get_page(WebRequest request, std::uint64_t limit);

  // May this host be reached though its address is private?
  bool trusts(const net::HttpTarget& target) const;

 private:
  net::Task<Result<std::unique_ptr<net::ClientResponse>>> send(const WebRequest& request,
                                                               SplitUrl to, bool with_token);
  Result<void> secure(net::HttpTarget& target);

  std::vector<std::string> trusted_;  // "host" or "host:port"
  std::chrono::milliseconds silence_;
  std::shared_ptr<net::TlsContext> tls_;  // made for the first https
};

// What an answer with an error status means. `what` is for people: "the model 'x'".
Error status_error(int status, const net::Headers& headers, std::string_view what,
                   std::string_view url);

}  // namespace corral::models

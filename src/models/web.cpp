#include "models/web.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/percent.hpp"
#include "base/text.hpp"
#include "base/time_text.hpp"
#include "models/sources/folder_entry.hpp"
#include "net/tls.hpp"

namespace corral::models {
namespace {

constexpr std::chrono::seconds kConnect{15};

Error bad_url(const char* why) {
  return fail(ErrorCode::invalid_argument, fmt::format("the URL is not usable: {}", why))
      .hint("it begins with https:// or http:// and holds no spaces");
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string host_and_port(const net::HttpTarget& target) {
  return fmt::format("{}:{}", to_lower(target.host), target.port);
}

// "example.org", "example.org:8080", "[::1]:8080", or a URL: as `trusted_` keeps it.
std::string trusted_name(std::string_view text) {
  if (text.find("://") != std::string_view::npos) {
    auto url = split_url(text);
    return url ? host_and_port(url->target) : std::string();
  }
  std::string name = to_lower(trim(text));
  if (name.starts_with('[')) {
    auto end = name.find(']');
    if (end != std::string::npos) name = name.substr(1, end - 1) + name.substr(end + 1);
  }
  return name;
}

}  // namespace

// --- URLs ----------------------------------------------------------------------------------------

Result<SplitUrl> split_url(std::string_view url) {
  bool plain = std::ranges::all_of(
      url, [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; });
  if (!plain) return bad_url("it holds spaces or control characters");
  auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return bad_url("it names no scheme");
  std::string kind = to_lower(url.substr(0, scheme));
  if (kind != "http" && kind != "https") return bad_url("its scheme is not http or https");
  auto begin = scheme + 3;
  auto end = std::min(url.find_first_of("/?#", begin), url.size());
  SplitUrl split;
  CORRAL_TRY(split.target,
             net::parse_target(fmt::format("{}://{}", kind, url.substr(begin, end - begin))));
  split.origin = fmt::format("{}://{}", kind, host_and_port(split.target));
  auto path = url.substr(end, std::min(url.find('#', end), url.size()) - end);
  split.path = path.starts_with('/') ? std::string(path) : "/" + std::string(path);
  return split;
}

Result<std::string> resolve_url(std::string_view base, std::string_view location) {
  location = trim(location);
  auto colon = location.find("://");
  if (colon != std::string_view::npos && location.find_first_of("/?#") > colon) {
    return std::string(location);
  }
  auto scheme = base.find("://");
  if (scheme == std::string_view::npos) return bad_url("it names no scheme");
  if (location.starts_with("//")) return fmt::format("{}:{}", base.substr(0, scheme), location);
  auto path = std::min(base.find_first_of("/?#", scheme + 3), base.size());
  auto root = base.substr(0, path);
  if (location.starts_with('/')) return fmt::format("{}{}", root, location);
  auto rest = base.substr(path);
  rest = rest.substr(0, std::min(rest.find_first_of("?#"), rest.size()));
  auto slash = rest.rfind('/');
  auto folder = slash == std::string_view::npos ? std::string_view("/") : rest.substr(0, slash + 1);
  return fmt::format("{}{}{}", root, folder, location);
}

std::string escape_path(std::string_view path) {
  std::string out;
  for (auto segment : split(path, '/')) {
    if (!out.empty() || segment.data() != path.data()) out += '/';
    out += percent_encode(segment);
  }
  return out;
}

// --- fetching ------------------------------------------------------------------------------------

Web::Web(const config::SourcesSettings& sources, std::chrono::milliseconds silence)
    : silence_(silence) {
  auto trust = [this](std::string_view text) {
    auto name = trusted_name(text);
    if (!name.empty()) trusted_.push_back(std::move(name));
  };
  trust(sources.hugging_face);
  trust(sources.ollama);
  for (const auto& folder : sources.folders) {
    if (auto entry = parse_folder_entry(folder)) trust(entry->url);
  }
  for (const auto& host : sources.private_hosts) trust(host);
}

bool Web::trusts(const net::HttpTarget& target) const {
  std::string host = to_lower(target.host);
  std::string with_port = host_and_port(target);
  return std::ranges::any_of(
      trusted_, [&](const std::string& each) { return each == host || each == with_port; });
}

Result<void> Web::secure(net::HttpTarget& target) {
  if (target.scheme != net::HttpTarget::Scheme::https) return {};
  if (!tls_) {
    CORRAL_TRY(tls_, net::TlsContext::client({}));
  }
  target.tls = tls_;
  return {};
}

net::Task<Result<std::unique_ptr<net::ClientResponse>>> Web::send(const WebRequest& request,
                                                                  SplitUrl to, bool with_token) {
  CORRAL_CO_CHECK(secure(to.target));
  to.target.reach = trusts(to.target) ? net::Reach::anywhere : net::Reach::public_only;
  net::Headers headers;
  headers.add("User-Agent", "corral");
  headers.add("Accept-Encoding", "identity");
  for (const auto& [name, value] : request.headers) headers.add(name, value);
  if (with_token) headers.add("Authorization", "Bearer " + request.bearer);
  net::ClientRequest wanted;
  wanted.path = to.path;
  wanted.headers = &headers;
  auto connect = std::min<std::chrono::milliseconds>(kConnect, silence_);
  net::HttpTimeouts timeouts{.connect = connect, .first_byte = silence_, .between_bytes = silence_};
  auto sent = co_await net::shard_client().send(to.target, wanted, timeouts);
  if (!sent && sent.error().code == ErrorCode::forbidden) {
    sent.error().hint_text =
        fmt::format("if that is meant, add {} to sources.private_hosts", host_and_port(to.target));
  }
  co_return sent;
}

net::Task<Result<WebAnswer>> Web::get(WebRequest request) {
  CORRAL_CO_TRY(auto to, split_url(request.url));
  std::string token_origin = request.token_origin.empty() ? to.origin : request.token_origin;
  std::string url = request.url;
  for (int redirects = 0;; ++redirects) {
    bool with_token = !request.bearer.empty() && to.origin == token_origin;
    CORRAL_CO_TRY(auto response, co_await send(request, to, with_token));
    auto location = response->headers().get("location");
    if (!is_redirect(response->status()) || !location) {
      co_return WebAnswer{std::move(response), std::move(url)};
    }
    if (redirects == kMostRedirects) {
      co_return fail(ErrorCode::upstream, fmt::format("{} redirects too often", to.origin));
    }
    CORRAL_CO_TRY(url, resolve_url(url, *location));
    CORRAL_CO_TRY(auto next, split_url(url));
    if (to.origin.starts_with("https:") && next.origin.starts_with("http:")) {
      co_return fail(ErrorCode::forbidden, fmt::format("{} redirects to {}, which is not encrypted",
                                                       to.origin, next.origin));
    }
    to = std::move(next);
  }
}

net::Task<Result<WebPage>> Web::get_page(WebRequest request, std::uint64_t limit) {
  std::string asked = request.url;
  CORRAL_CO_TRY(auto answer, co_await get(std::move(request)));
  const auto& headers = answer.response->headers();
  if (answer.response->status() != 200) {
    co_return status_error(answer.response->status(), headers, "that", asked);
  }
  WebPage page;
  page.url = answer.url;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    page.headers.add(headers[i].name, headers[i].value);
  }
  CORRAL_CO_TRY(page.body, co_await answer.response->read_all(limit));
  co_return page;
}

Error status_error(int status, const net::Headers& headers, std::string_view what,
                   std::string_view url) {
  auto parts = split_url(url);
  std::string origin = parts ? parts->origin : std::string("the source");
  auto made = [&](ErrorCode code, std::string message) {
    Error error = fail(code, std::move(message));
    error.peer_status = status;
    auto pause = headers.get("retry-after");
    if (pause) error.retry_after = parse_retry_after(*pause, std::chrono::system_clock::now());
    return error;
  };
  if (status == 404 || status == 410) {
    return made(ErrorCode::not_found, fmt::format("{} does not have {}", origin, what));
  }
  if (status == 401) {
    return made(ErrorCode::unauthenticated, fmt::format("{} wants a token for {}", origin, what));
  }
  if (status == 403) {
    return made(ErrorCode::forbidden, fmt::format("{} does not give {} out", origin, what));
  }
  if (status == 429) {
    return made(ErrorCode::rate_limited, fmt::format("{} says that we ask too often", origin));
  }
  if (status >= 500 || status == 408) {
    return made(ErrorCode::unavailable,
                fmt::format("{} fails at the moment (status {})", origin, status));
  }
  return made(ErrorCode::upstream,
              fmt::format("{} answered with status {} for {}", origin, status, what));
}

}  // namespace corral::models

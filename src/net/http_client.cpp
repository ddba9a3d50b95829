#include "net/http_client.hpp"

#include <boost/asio/this_coro.hpp>
#include <unordered_map>

#include "base/bug.hpp"
#include "base/text.hpp"
#include "net/upstream.hpp"

namespace corral::net {
namespace {

constexpr std::size_t kPooledPerTarget = 512;

void append_key(std::string& key, const HttpTarget& target) {
  if (target.scheme == HttpTarget::Scheme::unix_socket) {
    key.append("unix:").append(target.socket_path);
    return;
  }
  bool secure = target.scheme == HttpTarget::Scheme::https;
  key.append(secure ? "https://" : "http://");
  bool v6 = target.host.find(':') != std::string::npos;
  if (v6) key += '[';
  key.append(target.host);
  if (v6) key += ']';
  key += ':';
  key.append(std::to_string(target.port));
}

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};

bool valid_path(std::string_view path) {
  return path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char c) {
           return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
         });
}

bool usually_has_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

Result<std::string> build_head(const HttpTarget& target, const ClientRequest& request) {
  if (!valid_token(request.method) || !valid_path(request.path)) {
    return fail(ErrorCode::invalid_argument, "the method or the path of the request is malformed");
  }
  std::string head;
  head.reserve(512);
  head.append(request.method).append(" ").append(target.base_path).append(request.path);
  head.append(" HTTP/1.1\r\nHost: ").append(target.authority()).append("\r\n");
  if (request.headers != nullptr) {
    for (std::size_t i = 0; i < request.headers->size(); ++i) {
      auto [name, value] = (*request.headers)[i];
      if (is_connection_field(name) || iequals(name, "host")) continue;
      if (!valid_token(name) || !valid_field_value(value)) {
        return fail(ErrorCode::invalid_argument, "a header of the request is malformed");
      }
      head.append(name).append(": ").append(value).append("\r\n");
    }
  }
  std::uint64_t size = 0;
  for (auto part : request.body) size += part.size();
  if (size > 0 || usually_has_body(request.method)) {
    head.append("Content-Length: ").append(std::to_string(size)).append("\r\n");
  }
  head.append("\r\n");
  return head;
}

}  // namespace

std::string HttpTarget::key() const {
  std::string text;
  append_key(text, *this);
  return text;
}

std::string HttpTarget::authority() const {
  if (scheme == Scheme::unix_socket) return "localhost";
  bool v6 = host.find(':') != std::string::npos;
  std::string text = v6 ? "[" + host + "]" : host;
  if (port != (scheme == Scheme::https ? 443 : 80)) text += ":" + std::to_string(port);
  return text;
}

// --- targets -------------------------------------------------------------------------------------

namespace {

Error bad_url(std::string_view url, const char* why) {
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' is no usable URL: {}", url, why))
      .hint("say http://host:port, https://host, or unix:/path/to.sock");
}

Result<HttpTarget> parse_authority(std::string_view url, std::string_view authority,
                                   HttpTarget target) {
  if (authority.find('@') != std::string_view::npos) {
    // Not repeated in the message: it may be a password.
    return fail(ErrorCode::invalid_argument, "the URL holds credentials")
        .hint("give the key in its own setting");
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == std::string_view::npos) return bad_url(url, "the bracket is not closed");
    target.host = authority.substr(1, end - 1);
    auto rest = authority.substr(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return bad_url(url, "rubbish after the address");
    port = rest.empty() ? rest : rest.substr(1);
    if (!rest.empty() && port.empty()) return bad_url(url, "the port is missing");
  } else {
    auto colon = authority.find(':');
    target.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = authority.substr(colon + 1);
      if (port.empty()) return bad_url(url, "the port is missing");
    }
  }
  bool plain = std::all_of(target.host.begin(), target.host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':';
  });
  if (target.host.empty() || !plain) return bad_url(url, "the host is missing or malformed");
  if (!port.empty()) {
    auto number = parse_int(port);
    if (!number || *number < 1 || *number > 65535) return bad_url(url, "the port is not 1..65535");
    target.port = static_cast<std::uint16_t>(*number);
  }
  return target;
}

}  // namespace

Result<HttpTarget> parse_target(std::string_view url) {
  HttpTarget target;
  if (url.starts_with("unix:")) {
    target.scheme = HttpTarget::Scheme::unix_socket;
    target.port = 0;
    target.socket_path = url.substr(5);
    if (target.socket_path.starts_with("//")) target.socket_path.erase(0, 2);
    if (!target.socket_path.starts_with('/')) return bad_url(url, "the path is not absolute");
    return target;
  }
  std::string_view rest;
  if (url.starts_with("http://")) {
    rest = url.substr(7);
  } else if (url.starts_with("https://")) {
    target.scheme = HttpTarget::Scheme::https;
    target.port = 443;
    rest = url.substr(8);
  } else {
    return bad_url(url, "the scheme is not http, https or unix");
  }
  auto slash = rest.find('/');
  if (slash != std::string_view::npos) {
    auto path = rest.substr(slash);
    while (path.ends_with('/')) path.remove_suffix(1);
    if (!path.empty() && (!valid_path(path) || path.find_first_of("?#") != path.npos)) {
      return bad_url(url, "the path is malformed");
    }
    target.base_path = path;
  }
  return parse_authority(url, rest.substr(0, slash), std::move(target));
}

// --- the client ----------------------------------------------------------------------------------

struct HttpClient::Impl {
  using Pool = std::vector<std::unique_ptr<UpstreamConnection>>;

  explicit Impl(Shard& owner) : shard(owner) {}

  // The youngest resting connection that is still usable, or null.
  std::unique_ptr<UpstreamConnection> take(std::string_view key) {
    auto found = pools.find(key);
    if (found == pools.end()) return nullptr;
    while (!found->second.empty()) {
      auto connection = std::move(found->second.back());
      found->second.pop_back();
      --resting;
      connection->wake();
      if (connection->quiet()) return connection;
    }
    return nullptr;
  }

  void give(const std::string& key, std::chrono::milliseconds limit,
            std::unique_ptr<UpstreamConnection> connection) {
    if (closed) return;
    auto& pool = pools[key];
    if (pool.size() >= kPooledPerTarget) return;
    connection->rest(limit, &Impl::ended, this);
    pool.push_back(std::move(connection));
    ++resting;
  }

  // Apart from send(), whose frame every request pays for.
  Task<Result<std::unique_ptr<UpstreamConnection>>> open(const HttpTarget& target,
                                                         std::chrono::milliseconds timeout) {
    CORRAL_CO_TRY(auto connected, co_await connect_to(shard, resolver, target, timeout));
    co_return std::make_unique<UpstreamConnection>(shard, std::move(connected.stream),
                                                   connected.plain);
  }

  static void ended(void* self, UpstreamConnection& connection) {
    auto& impl = *static_cast<Impl*>(self);
    for (auto it = impl.pools.begin(); it != impl.pools.end(); ++it) {
      auto erased =
          std::erase_if(it->second, [&](auto& each) { return each.get() == &connection; });
      if (erased == 0) continue;
      impl.resting -= erased;
      if (it->second.empty()) impl.pools.erase(it);
      return;
    }
  }

  Shard& shard;
  Resolver resolver;
  std::unordered_map<std::string, Pool, TextHash, std::equal_to<>> pools;
  std::size_t resting = 0;
  bool closed = false;
};

namespace {

// Gives its connection back to the pool, or closes it.
template <class Pool>
class PooledResponse final : public ClientResponse {
 public:
  PooledResponse(std::shared_ptr<Pool> pool, std::unique_ptr<UpstreamConnection> connection,
                 std::string key, std::chrono::milliseconds idle_limit)
      : pool_(std::move(pool)),
        connection_(std::move(connection)),
        key_(std::move(key)),
        idle_limit_(idle_limit) {}

  ~PooledResponse() override {
    if (connection_->reusable()) pool_->give(key_, idle_limit_, std::move(connection_));
  }

  int status() const override { return connection_->status(); }
  const Headers& headers() const override { return connection_->headers(); }
  Task<Result<std::string_view>> read_some() override { return connection_->read_some(); }

  Task<Result<std::string>> read_all(std::uint64_t limit) override {
    std::string all;
    while (true) {
      CORRAL_CO_TRY(auto part, co_await connection_->read_some());
      if (part.empty()) break;
      if (part.size() > limit - all.size()) {
        co_return fail(ErrorCode::too_large,
                       fmt::format("the upstream's answer is larger than {} bytes", limit));
      }
      all.append(part);
    }
    co_return all;
  }

 private:
  std::shared_ptr<Pool> pool_;
  std::unique_ptr<UpstreamConnection> connection_;
  std::string key_;
  std::chrono::milliseconds idle_limit_;
};

}  // namespace

HttpClient::HttpClient() {
  Shard* shard = Shard::current();
  if (shard == nullptr) BUG("HttpClient outside a shard");
  impl_ = std::make_shared<Impl>(*shard);
}

HttpClient::~HttpClient() {
  impl_->closed = true;
  impl_->pools.clear();
}

Task<Result<std::unique_ptr<ClientResponse>>> HttpClient::send(const HttpTarget& target,
                                                               const ClientRequest& request,
                                                               const HttpTimeouts& timeouts) {
  auto impl = impl_;
  CORRAL_CO_TRY(std::string head, build_head(target, request));
  std::string key = target.key();
  auto connection = impl->take(key);
  bool fresh = connection == nullptr;
  while (true) {
    if (!connection) {
      CORRAL_CO_TRY(connection, co_await impl->open(target, timeouts.connect));
    }
    auto exchanged = co_await connection->exchange(head, request, timeouts);
    if (exchanged) break;
    // A pooled connection may have been closed while it rested: once more, on a new one.
    if (fresh || !connection->stale()) co_return std::unexpected(std::move(exchanged).error());
    connection.reset();
    fresh = true;
  }
  co_return std::make_unique<PooledResponse<Impl>>(impl, std::move(connection), std::move(key),
                                                   target.idle_limit);
}

void HttpClient::forget(const HttpTarget& target) {
  auto found = impl_->pools.find(target.key());
  if (found == impl_->pools.end()) return;
  impl_->resting -= found->second.size();
  impl_->pools.erase(found);
}

std::size_t HttpClient::pooled() const { return impl_->resting; }

HttpClient& shard_client() {
  Shard* shard = Shard::current();
  if (shard == nullptr) BUG("shard_client outside a shard");
  auto& client = shard->impl().client;
  if (!client) client = std::make_unique<HttpClient>();
  return *client;
}

}  // namespace corral::net

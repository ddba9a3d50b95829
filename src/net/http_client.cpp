#include "net/http_client.hpp"

#include <charconv>
#include <unordered_map>

#include "base/cursor.hpp"
#include "base/text.hpp"
#include "net/upstream.hpp"

namespace corral::net {
namespace {

constexpr std::size_t kPooledPerTarget = 512;
constexpr std::size_t kPoolsKept = 64;  // more than so many are tidied before one is added

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
  char digits[8];
  key.append(digits, std::to_chars(digits, digits + sizeof digits, target.port).ptr);
}

// Those who may reach only public addresses do not share connections with those who may go further.
void append_pool_key(std::string& key, const HttpTarget& target) {
  if (target.reach == Reach::public_only) key.append("public ");
  append_key(key, target);
}

bool valid_path(std::string_view path) {
  return path.starts_with('/') && std::all_of(path.begin(), path.end(), [](char c) {
           return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
         });
}

bool usually_has_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

// Of a head, besides what the request brings; of a field, besides its name and value.
constexpr std::size_t kRequestFrame = 128, kRequestFieldFrame = 4;

// False: one of them is malformed.
bool put_caller_fields(Cursor& out, const Headers& headers) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    auto [name, value] = headers[i];
    if (is_connection_field(name) || iequals(name, "host")) continue;
    if (!valid_token(name) || !valid_field_value(value)) return false;
    out.put(name);
    out.put(": ");
    out.put(value);
    out.put("\r\n");
  }
  return true;
}

void put_length(Cursor& out, const ClientRequest& request) {
  std::uint64_t size = 0;
  for (auto part : request.body) size += part.size();
  if (size == 0 && !usually_has_body(request.method)) return;
  out.put("Content-Length: ");
  out.put_number(size);
  out.put("\r\n");
}

Result<void> build_head(std::string& head, const HttpTarget& target, std::string_view authority,
                        const ClientRequest& request) {
  if (!valid_token(request.method) || !valid_path(request.path)) {
    return fail(ErrorCode::invalid_argument, "the method or the path of the request is malformed");
  }
  std::size_t bound = kRequestFrame + request.method.size() + target.base_path.size() +
                      request.path.size() + authority.size();
  if (request.headers != nullptr) {
    bound += request.headers->text_bytes() + request.headers->size() * kRequestFieldFrame;
  }
  bool sound = true;
  head.resize_and_overwrite(bound, [&](char* begin, std::size_t) {
    Cursor out{begin};
    out.put(request.method);
    out.put(' ');
    out.put(target.base_path);
    out.put(request.path);
    out.put(" HTTP/1.1\r\nHost: ");
    out.put(authority);
    out.put("\r\n");
    if (request.headers != nullptr) sound = put_caller_fields(out, *request.headers);
    put_length(out, request);
    out.put("\r\n");
    return out.size_since(begin);
  });
  if (sound) return {};
  return fail(ErrorCode::invalid_argument, "a header of the request is malformed");
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

namespace {

// The connections to one target that rest between two requests.
class TargetPool {
 public:
  explicit TargetPool(std::string authority) : authority_(std::move(authority)) {}

  const std::string& authority() const { return authority_; }
  std::size_t resting() const { return resting_.size(); }

  // The youngest one that is still usable, or null.
  std::unique_ptr<UpstreamConnection> take() {
    while (!resting_.empty()) {
      auto connection = std::move(resting_.back());
      resting_.pop_back();
      connection->wake();
      if (connection->quiet()) return connection;
    }
    return nullptr;
  }

  void give(std::chrono::milliseconds limit, std::unique_ptr<UpstreamConnection> connection) {
    if (closed_ || resting_.size() >= kPooledPerTarget) return;
    connection->rest(limit, &TargetPool::ended, this);
    resting_.push_back(std::move(connection));
  }

  // Also those in use now will not come back.
  void close() {
    closed_ = true;
    resting_.clear();
  }

 private:
  static void ended(void* self, UpstreamConnection& connection) {
    std::erase_if(static_cast<TargetPool*>(self)->resting_,
                  [&](const auto& each) { return each.get() == &connection; });
  }

  std::string authority_;
  std::vector<std::unique_ptr<UpstreamConnection>> resting_;
  bool closed_ = false;
};

// Gives its connection back to the pool, or closes it.
class PooledResponse final : public ClientResponse {
 public:
  PooledResponse(std::shared_ptr<TargetPool> pool, std::unique_ptr<UpstreamConnection> connection,
                 std::chrono::milliseconds idle_limit)
      : pool_(std::move(pool)), connection_(std::move(connection)), idle_limit_(idle_limit) {}

  ~PooledResponse() override {
    if (connection_->reusable()) pool_->give(idle_limit_, std::move(connection_));
  }

  int status() const override { return connection_->status(); }
  const Headers& headers() const override { return connection_->headers(); }
  void set_between_bytes(std::chrono::milliseconds limit) override {
    connection_->set_between_bytes(limit);
  }
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
  std::shared_ptr<TargetPool> pool_;
  std::unique_ptr<UpstreamConnection> connection_;
  std::chrono::milliseconds idle_limit_;
};

}  // namespace

struct HttpClient::Impl {
  explicit Impl(Shard& owner) : shard(owner) {}

  std::shared_ptr<TargetPool> pool_of(const HttpTarget& target) {
    key.clear();
    append_pool_key(key, target);
    auto found = pools.find(key);
    if (found != pools.end()) return found->second;
    if (pools.size() >= kPoolsKept) {
      std::erase_if(pools, [](const auto& each) {
        return each.second->resting() == 0 && each.second.use_count() == 1;
      });
    }
    return pools.emplace(key, std::make_shared<TargetPool>(target.authority())).first->second;
  }

  // Apart from send(), whose frame every request pays for.
  Task<Result<std::unique_ptr<UpstreamConnection>>> open(const HttpTarget& target,
                                                         std::chrono::milliseconds timeout) {
    CORRAL_CO_TRY(auto connected, co_await connect_to(shard, resolver, target, timeout));
    co_return std::make_unique<UpstreamConnection>(shard, std::move(connected.stream),
                                                   connected.plain);
  }

  Shard& shard;
  Resolver resolver;
  std::unordered_map<std::string, std::shared_ptr<TargetPool>> pools;
  std::string key;         // of the look-up under way; kept for its memory
  std::string spare_head;  // likewise
};

HttpClient::HttpClient() : impl_(std::make_shared<Impl>(Shard::needed_by("HttpClient"))) {}

HttpClient::~HttpClient() {
  for (auto& [key, pool] : impl_->pools) pool->close();
}

Task<Result<std::unique_ptr<ClientResponse>>> HttpClient::send(const HttpTarget& target,
                                                               const ClientRequest& request,
                                                               const HttpTimeouts& timeouts) {
  auto impl = impl_;
  auto pool = impl->pool_of(target);
  // The memory of an earlier head, unless that is in use.
  std::string head = std::move(impl->spare_head);
  CORRAL_CO_CHECK(build_head(head, target, pool->authority(), request));
  auto connection = pool->take();
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
  impl->spare_head = std::move(head);
  co_return std::make_unique<PooledResponse>(std::move(pool), std::move(connection),
                                             target.idle_limit);
}

void HttpClient::forget(const HttpTarget& target) {
  std::string key;
  append_pool_key(key, target);
  auto found = impl_->pools.find(key);
  if (found == impl_->pools.end()) return;
  found->second->close();
  impl_->pools.erase(found);
}

std::size_t HttpClient::pooled() const {
  std::size_t resting = 0;
  for (const auto& [key, pool] : impl_->pools) resting += pool->resting();
  return resting;
}

HttpClient& shard_client() {
  auto& client = Shard::needed_by("shard_client").impl().client;
  if (!client) client = std::make_unique<HttpClient>();
  return *client;
}

}  // namespace corral::net

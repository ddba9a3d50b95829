#include "net/tls.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <fmt/format.h>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "net/plain_stream.hpp"

namespace corral::net {
namespace {

constexpr std::size_t kRecordBytes = 16 * 1024;  // largest payload of a TLS record
constexpr unsigned char kAlpn[] = "\x08http/1.1";

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Deleter<SSL_free>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, Deleter<BIO_meth_free>>;

// The oldest error that OpenSSL noted on this thread, as text; empties its list.
std::string openssl_reason() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : fmt::format("OpenSSL error {:#x}", code);
}

// --- OpenSSL's view of the plain stream below
// -----------------------------------------------------

// Results of the last transfer, for what OpenSSL does not pass on.
struct Wire {
  std::unique_ptr<PlainStream> stream;
  int error = 0;     // errno of a failed transfer
  bool end = false;  // the peer closed without a word of TLS
};

int bio_result(BIO* bio, Wire& wire, const IoResult& result, std::size_t* moved, bool reading) {
  BIO_clear_retry_flags(bio);
  switch (result.status) {
    case IoStatus::ok: *moved = result.bytes; return 1;
    case IoStatus::would_block:
      if (reading) {
        BIO_set_retry_read(bio);
      } else {
        BIO_set_retry_write(bio);
      }
      return 0;
    case IoStatus::end: wire.end = true; return 0;
    case IoStatus::failed: wire.error = result.error; return 0;
  }
  return 0;
}

int bio_read(BIO* bio, char* into, std::size_t size, std::size_t* moved) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  return bio_result(bio, wire, wire.stream->try_read({into, size}), moved, true);
}

int bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* moved) {
  auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
  iovec part{const_cast<char*>(from), size};
  return bio_result(bio, wire, wire.stream->try_write({&part, 1}), moved, false);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return static_cast<Wire*>(BIO_get_data(bio))->end ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// Not the socket BIO of OpenSSL: that one raises SIGPIPE.
BioMethodPtr make_bio_method() {
  BioMethodPtr method(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "corral stream"));
  if (!method) return nullptr;
  BIO_meth_set_read_ex(method.get(), bio_read);
  BIO_meth_set_write_ex(method.get(), bio_write);
  BIO_meth_set_ctrl(method.get(), bio_control);
  return method;
}

// --- the stream
// -----------------------------------------------------------------------------------

class TlsStream final : public Stream {
 public:
  TlsStream(std::shared_ptr<TlsContext> context, std::unique_ptr<PlainStream> plain, SslPtr ssl)
      : context_(std::move(context)), ssl_(std::move(ssl)) {
    wire_.stream = std::move(plain);
  }
  ~TlsStream() override { close(); }

  bool attach(const BIO_METHOD* method) {
    BIO* bio = BIO_new(method);
    if (bio == nullptr) return false;
    BIO_set_data(bio, &wire_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);  // the SSL owns it now
    return true;
  }

  Task<Result<void>> handshake() {
    while (true) {
      clear_errors();
      int done = SSL_do_handshake(ssl_.get());
      if (done == 1) break;
      int error = SSL_get_error(ssl_.get(), done);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        co_return handshake_error();
      }
      auto direction = error == SSL_ERROR_WANT_READ ? Direction::read : Direction::write;
      bool ready = co_await wire_.stream->wait(direction);
      if (!ready) co_return fail(ErrorCode::cancelled, "the TLS handshake was cancelled");
    }
    established_ = true;
    co_return Result<void>();
  }

  IoResult try_read(std::span<char> into) override {
    if (broken_ || !is_open()) return {IoStatus::failed, 0, ENOTCONN};
    clear_errors();
    std::size_t got = 0;
    int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
    if (done == 1) return {IoStatus::ok, got, 0};
    return outcome(done, read_wants_);
  }

  // Gathers small parts into full records, and goes on until all is written or the socket is full.
  IoResult try_write(std::span<const iovec> parts) override {
    if (broken_ || !is_open()) return {IoStatus::failed, 0, ENOTCONN};
    std::size_t total = 0, part = 0, offset = 0;
    while (true) {
      while (part < parts.size() && offset == parts[part].iov_len) {
        ++part;
        offset = 0;
      }
      if (part == parts.size()) return {IoStatus::ok, total, 0};
      std::string_view chunk = next_chunk(parts.subspan(part), offset);
      clear_errors();
      std::size_t written = 0;
      int done = SSL_write_ex(ssl_.get(), chunk.data(), chunk.size(), &written);
      if (done != 1) {
        auto result = outcome(done, write_wants_);
        // What went before counts; the rest comes again, and OpenSSL takes it up where it was.
        return total > 0 ? IoResult{IoStatus::ok, total, 0} : result;
      }
      total += written;
      for (std::size_t left = written; left > 0;) {
        std::size_t step = std::min(left, parts[part].iov_len - offset);
        left -= step;
        offset += step;
        if (offset == parts[part].iov_len && left > 0) {
          ++part;
          offset = 0;
        }
      }
    }
  }

  Task<bool> wait(Direction direction) override {
    if (!is_open()) co_return false;
    if (direction == Direction::read && SSL_has_pending(ssl_.get()) == 1 &&
        SSL_pending(ssl_.get()) > 0) {
      co_return true;  // decrypted already; the socket may stay silent
    }
    auto wants = direction == Direction::read ? read_wants_ : write_wants_;
    bool ready = co_await wire_.stream->wait(wants);
    co_return ready;
  }

  void close() override {
    if (!is_open()) return;
    if (established_ && !broken_) {
      clear_errors();
      SSL_shutdown(ssl_.get());  // one close_notify if the socket takes it; no waiting
      clear_errors();
    }
    wire_.stream->close();
  }

  bool is_open() const override { return wire_.stream->is_open(); }
  std::string peer() const override { return wire_.stream->peer(); }
  bool encrypted() const override { return true; }

 private:
  void clear_errors() {
    ERR_clear_error();
    wire_.error = 0;
  }

  // One large part as it is; small ones side by side. The same parts give the same chunk, which a
  // repeated SSL_write relies on.
  static std::string_view next_chunk(std::span<const iovec> parts, std::size_t offset) {
    auto bytes = [](const iovec& part, std::size_t from) {
      return std::string_view(static_cast<const char*>(part.iov_base), part.iov_len).substr(from);
    };
    std::string_view first = bytes(parts[0], offset);
    if (parts.size() == 1 || first.size() >= kRecordBytes) return first.substr(0, kRecordBytes);
    thread_local std::array<char, kRecordBytes> record;
    std::size_t size = 0;
    for (const iovec& part : parts) {
      std::string_view next = &part == parts.data() ? first : bytes(part, 0);
      next = next.substr(0, kRecordBytes - size);
      std::ranges::copy(next, record.data() + size);
      size += next.size();
    }
    return {record.data(), size};
  }

  IoResult outcome(int done, Direction& wants) {
    switch (SSL_get_error(ssl_.get(), done)) {
      case SSL_ERROR_WANT_READ: wants = Direction::read; return {IoStatus::would_block, 0, 0};
      case SSL_ERROR_WANT_WRITE: wants = Direction::write; return {IoStatus::would_block, 0, 0};
      case SSL_ERROR_ZERO_RETURN: return {IoStatus::end, 0, 0};
      default: break;
    }
    // An end without close_notify may be an attacker's cut: it is a failure, not an end.
    broken_ = true;
    ERR_clear_error();
    return {IoStatus::failed, 0, wire_.error != 0 ? wire_.error : wire_.end ? ECONNRESET : EPROTO};
  }

  Error handshake_error() {
    broken_ = true;
    long verdict = SSL_get_verify_result(ssl_.get());
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    std::string text = openssl_reason();
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
      return verify_error(verdict);
    }
    if (wire_.end) {
      return fail(ErrorCode::upstream, "the peer closed the connection during the TLS handshake");
    }
    if (wire_.error != 0) return fail_os("the TLS handshake broke off", wire_.error);
    Error error = fail(ErrorCode::upstream, "the TLS handshake failed: " + text);
    if (reason == SSL_R_HTTP_REQUEST) {
      return std::move(error).hint("the client spoke plain HTTP; use https://");
    }
    if (reason == SSL_R_WRONG_VERSION_NUMBER) {
      return std::move(error).hint("the other side may speak plain HTTP on this port");
    }
    if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION) {
      return std::move(error).hint("TLS 1.2 or 1.3 is needed");
    }
    return error;
  }

  static Error verify_error(long verdict) {
    Error error =
        fail(ErrorCode::upstream, fmt::format("the certificate of the server is not accepted: {}",
                                              X509_verify_cert_error_string(verdict)));
    switch (verdict) {
      case X509_V_ERR_HOSTNAME_MISMATCH:
      case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return std::move(error).hint("use the name that the certificate was made for");
      case X509_V_ERR_CERT_HAS_EXPIRED:
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return std::move(error).hint("renew it, or set the clock right");
      default: return std::move(error).hint("name a PEM file with the authority that signed it");
    }
  }

  std::shared_ptr<TlsContext> context_;  // keeps the SSL_CTX and the BIO's methods
  Wire wire_;                            // before ssl_: its BIO refers to it
  SslPtr ssl_;
  Direction read_wants_ = Direction::read;
  Direction write_wants_ = Direction::write;
  bool established_ = false;
  bool broken_ = false;  // after a fatal error nothing more may be sent
};

// --- contexts
// -------------------------------------------------------------------------------------

class TlsContextImpl final : public TlsContext,
                             public std::enable_shared_from_this<TlsContextImpl> {
 public:
  TlsContextImpl(ContextPtr context, BioMethodPtr method)
      : context_(std::move(context)), method_(std::move(method)) {}

  Task<Result<std::unique_ptr<Stream>>> accept(sys::Fd socket) override {
    CORRAL_CO_TRY(auto stream, open(std::move(socket)));
    SSL_set_accept_state(stream.ssl);
    auto done = co_await finish(std::move(stream.stream));
    co_return done;
  }

  Task<Result<std::unique_ptr<Stream>>> connect(sys::Fd socket, std::string host_name) override {
    CORRAL_CO_TRY(auto stream, open(std::move(socket)));
    SSL_set_connect_state(stream.ssl);
    CORRAL_CO_CHECK(expect_host(stream.ssl, host_name));
    auto done = co_await finish(std::move(stream.stream));
    co_return done;
  }

 private:
  struct Opened {
    std::unique_ptr<TlsStream> stream;
    SSL* ssl = nullptr;
  };

  Result<Opened> open(sys::Fd socket) {
    Shard* shard = Shard::current();
    auto plain = std::make_unique<PlainStream>(*shard, std::move(socket));
    SslPtr ssl(SSL_new(context_.get()));
    SSL* raw = ssl.get();
    if (!ssl) return fail(ErrorCode::internal, "cannot start TLS: " + openssl_reason());
    auto stream = std::make_unique<TlsStream>(shared_from_this(), std::move(plain), std::move(ssl));
    if (!stream->attach(method_.get())) {
      return fail(ErrorCode::internal, "cannot start TLS: " + openssl_reason());
    }
    return Opened{std::move(stream), raw};
  }

  static Task<Result<std::unique_ptr<Stream>>> finish(std::unique_ptr<TlsStream> stream) {
    auto done = co_await stream->handshake();
    if (!done) co_return std::unexpected(std::move(done).error());
    co_return std::unique_ptr<Stream>(std::move(stream));
  }

  // RFC 6125: the certificate must name the host, or the address when it is one.
  static Result<void> expect_host(SSL* ssl, std::string host) {
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    X509_VERIFY_PARAM* expected = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(expected, host.c_str()) == 1) return {};
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (host.empty() || SSL_set1_host(ssl, host.c_str()) != 1 ||
        SSL_set_tlsext_host_name(ssl, host.c_str()) != 1) {
      ERR_clear_error();
      return fail(ErrorCode::invalid_argument, "the server has no proper host name");
    }
    return {};
  }

  ContextPtr context_;
  BioMethodPtr method_;
};

int refuse_passphrase(char*, int, int, void*) { return -1; }  // never ask on the terminal

int choose_protocol(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  unsigned char* chosen = nullptr;
  int found = SSL_select_next_proto(&chosen, size, kAlpn, sizeof kAlpn - 1, offered, offered_size);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<ContextPtr> make_context(const SSL_METHOD* method) {
  ContextPtr context(SSL_CTX_new(method));
  if (!context) return fail(ErrorCode::internal, "cannot start TLS: " + openssl_reason());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");  // of TLS 1.2
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context.get(), refuse_passphrase);
  return context;
}

Result<void> check_readable(const std::string& file, std::string_view what) {
  std::FILE* opened = std::fopen(file.c_str(), "re");
  if (opened == nullptr) {
    int number = errno;
    return fail(ErrorCode::invalid_argument,
                fmt::format("cannot read the {} {}: {}", what, file, std::strerror(number)))
        .hint("name a PEM file that Corral may read");
  }
  std::fclose(opened);
  if (std::error_code ignored; std::filesystem::is_directory(file, ignored)) {
    return fail(ErrorCode::invalid_argument, fmt::format("the {} {} is a folder", what, file));
  }
  return {};
}

Result<std::shared_ptr<TlsContext>> wrap(ContextPtr context) {
  auto method = make_bio_method();
  if (!method) return fail(ErrorCode::internal, "cannot start TLS: " + openssl_reason());
  return std::make_shared<TlsContextImpl>(std::move(context), std::move(method));
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::server(const TlsServerOptions& options) {
  CORRAL_CHECK(check_readable(options.certificate_file, "TLS certificate"));
  CORRAL_CHECK(check_readable(options.key_file, "TLS key"));
  CORRAL_TRY(ContextPtr context, make_context(TLS_server_method()));
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.certificate_file.c_str()) != 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the TLS certificate {} is not usable: {}", options.certificate_file,
                            openssl_reason()))
        .hint("a PEM file is needed: the certificate of this server first, then the chain");
  }
  // A key that does not belong to the certificate is refused here, too.
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the TLS key {} is not usable: {}", options.key_file, openssl_reason()))
        .hint("a PEM file is needed, without passphrase, with the key of the certificate");
  }
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  return wrap(std::move(context));
}

Result<std::shared_ptr<TlsContext>> TlsContext::client(const TlsClientOptions& options) {
  CORRAL_TRY(ContextPtr context, make_context(TLS_client_method()));
  ERR_clear_error();
  SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof kAlpn - 1);
  SSL_CTX_set_verify(context.get(), options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.ca_file.empty()) {
    if (options.verify) SSL_CTX_set_default_verify_paths(context.get());
    ERR_clear_error();
    return wrap(std::move(context));
  }
  CORRAL_CHECK(check_readable(options.ca_file, "file of certificate authorities"));
  if (SSL_CTX_load_verify_file(context.get(), options.ca_file.c_str()) != 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the certificate authorities in {} are not usable: {}", options.ca_file,
                            openssl_reason()))
        .hint("a PEM file is needed");
  }
  return wrap(std::move(context));
}

}  // namespace corral::net

// TLS by OpenSSL over a socket, both sides. TLS 1.2 and 1.3, ALPN "http/1.1".
// Thread rule: a context is immutable and may be shared; a stream belongs to its shard.
#pragma once

#include <memory>
#include <string>

#include "net/stream.hpp"

namespace corral::net {

struct TlsServerOptions {
  std::string certificate_file;  // PEM, leaf first
  std::string key_file;          // PEM
};

struct TlsClientOptions {
  std::string ca_file;  // PEM; empty: the system's
  bool verify = true;   // chain and host name (RFC 6125)
};

class TlsContext {
 public:
  // invalid_argument with a hint when a file is missing, unreadable, or the key does not fit.
  static Result<std::shared_ptr<TlsContext>> server(const TlsServerOptions& options);
  static Result<std::shared_ptr<TlsContext>> client(const TlsClientOptions& options);
  virtual ~TlsContext() = default;

  // Hand-shakes over a connected non-blocking socket. Cancelled and failed hand-shakes close it.
  virtual Task<Result<std::unique_ptr<Stream>>> accept(sys::Fd socket) = 0;
  virtual Task<Result<std::unique_ptr<Stream>>> connect(sys::Fd socket, std::string host_name) = 0;
};

}  // namespace corral::net

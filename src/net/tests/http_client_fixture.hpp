// Servers of fixed behaviour for the tests of the HTTP client, and short ways to ask them.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>
#include <functional>
#include <mutex>
#include <set>
#include <vector>

#include "net/http_client.hpp"
#include "test_support.hpp"

namespace corral::net::testing {

// A server of fixed behaviour on a thread of its own: `script(connection number, socket)`.
class ScriptedServer {
 public:
  using Script = std::function<void(int, int)>;

  explicit ScriptedServer(Script script, const std::string& unix_path = "")
      : script_(std::move(script)) {
    listener_ = sys::Fd(::socket(unix_path.empty() ? AF_INET : AF_UNIX, SOCK_STREAM, 0));
    if (unix_path.empty()) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      socklen_t size = sizeof address;
      ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
      port = ntohs(address.sin_port);
    } else {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      unix_path.copy(address.sun_path, sizeof address.sun_path - 1);
      ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    }
    ::listen(listener_.get(), 16);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedServer() {
    ending_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    {
      // The client keeps idle connections for seconds; the scripts need not wait for their end.
      std::lock_guard lock(mutex_);
      for (int socket : open_) ::shutdown(socket, SHUT_RDWR);
    }
    for (auto& each : serving_) each.join();
  }

  std::uint16_t port = 0;
  std::atomic<int> accepted{0};

 private:
  void run() {
    while (!ending_) {
      int socket = ::accept(listener_.get(), nullptr, nullptr);
      if (socket < 0) return;
      int number = accepted++;
      serving_.emplace_back([this, number, socket] {
        sys::Fd owner(socket);
        timeval limit{10, 0};
        ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        {
          std::lock_guard lock(mutex_);
          open_.insert(socket);
        }
        script_(number, socket);
        std::lock_guard lock(mutex_);
        open_.erase(socket);
      });
    }
  }

  Script script_;
  sys::Fd listener_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
  std::vector<std::thread> serving_;
  std::mutex mutex_;
  std::set<int> open_;
};

// The next request (head, and body by Content-Length); empty when the client closed.
inline std::string read_request(int socket) {
  std::string all;
  char buffer[65536];
  while (true) {
    auto end = all.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::size_t size = end + 4;
      auto at = all.find("Content-Length: ");
      if (at < end) size += std::stoul(all.substr(at + 16));
      if (all.size() >= size) return all;
    }
    ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) return {};
    all.append(buffer, static_cast<std::size_t>(got));
  }
}

inline void write_text(int socket, std::string_view text) {
  while (!text.empty()) {
    ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

inline std::string ok(std::string_view body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

// Answers every request of every connection with `answer`.
inline ScriptedServer::Script always(std::string answer) {
  return [answer](int, int socket) {
    while (!read_request(socket).empty()) write_text(socket, answer);
  };
}

struct Answer {
  int status = 0;
  std::string body;
  std::string content_type;
};

struct Ask {
  HttpTarget target;
  std::string method = "GET";
  std::string path = "/";
  std::string body;
  Headers headers;
  HttpTimeouts timeouts;
  bool event_stream = false;
};

inline Task<Result<Answer>> fetch(Ask ask) {
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  std::string_view parts[] = {ask.body};
  ClientRequest request;
  request.method = ask.method;
  request.path = ask.path;
  request.headers = &ask.headers;
  request.body = parts;
  request.event_stream = ask.event_stream;
  CORRAL_CO_TRY(auto response, co_await shard_client().send(ask.target, request, ask.timeouts));
  Answer answer;
  answer.status = response->status();
  answer.content_type = response->headers().get("content-type").value_or("");
  CORRAL_CO_TRY(answer.body, co_await response->read_all(16 << 20));
  co_return answer;
}

inline Task<Result<std::vector<std::string>>> fetch_pieces(HttpTarget target) {
  CORRAL_CO_TRY(auto response, co_await shard_client().send(target, {}, {}));
  std::vector<std::string> pieces;
  while (true) {
    CORRAL_CO_TRY(auto piece, co_await response->read_some());
    if (piece.empty()) break;
    pieces.emplace_back(piece);
  }
  co_return pieces;
}

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() : shard(loops.shards().serving(0)) {}

  HttpTarget target(std::uint16_t port) {
    HttpTarget result;
    result.host = "127.0.0.1";
    result.port = port;
    return result;
  }
  Result<Answer> get(std::uint16_t port, std::string path = "/") {
    Ask ask;
    ask.target = target(port);
    ask.path = std::move(path);
    return loops.run(shard, fetch(std::move(ask)));
  }
  std::size_t pooled() {
    return loops.call(shard, [] { return shard_client().pooled(); });
  }

  Loops loops;
  Shard& shard;
};

}  // namespace corral::net::testing

// What the tests of net share: running loops, and a raw client that speaks exactly what it is told.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <chrono>
#include <concepts>
#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "net/http_server.hpp"
#include "net/shard.hpp"
#include "net/shard_impl.hpp"
#include "net/task.hpp"
#include "sys/fd.hpp"

namespace corral::net::testing {

using namespace std::chrono_literals;

// Serving shards and a control shard, all running.
class Loops {
 public:
  explicit Loops(std::size_t serving = 1) : shards_(serving) {
    shards_.start();
    control_ = std::thread([this] { shards_.run_control(); });
  }
  ~Loops() { end(); }

  void end() {
    ended_ = true;
    shards_.stop();
    if (control_.joinable()) control_.join();
    shards_.join();
  }

  bool ended() const { return ended_; }
  Shards& shards() { return shards_; }

  // Runs a coroutine on `shard` and returns its value.
  template <class T>
  T run(Shard& shard, Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    auto value = promise->get_future();
    boost::asio::co_spawn(shard.impl().context, std::move(task),
                          [promise](std::exception_ptr error, T result) {
                            if (error) {
                              promise->set_exception(error);
                            } else {
                              promise->set_value(std::move(result));
                            }
                          });
    return value.get();
  }
  void run(Shard& shard, Task<void> task) {
    auto promise = std::make_shared<std::promise<void>>();
    auto value = promise->get_future();
    boost::asio::co_spawn(shard.impl().context, std::move(task),
                          [promise](std::exception_ptr error) {
                            if (error) {
                              promise->set_exception(error);
                            } else {
                              promise->set_value();
                            }
                          });
    value.get();
  }
  // Runs plain code on `shard`.
  template <class Work>
  auto call(Shard& shard, Work work) {
    auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
    auto value = task->get_future();
    shard.post([task] { (*task)(); });
    return value.get();
  }

 private:
  Shards shards_;
  std::thread control_;
  bool ended_ = false;
};

// A blocking client socket with a deadline on every read.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0) {
    socket_ = sys::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (receive_buffer > 0) {
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    int on = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }
  int fd() const { return socket_.get(); }

  bool send(std::string_view text) {
    while (!text.empty()) {
      ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // Reads until `wanted(received)` holds, the peer ends, or the time is over.
  template <std::predicate<const std::string&> Wanted>
  std::string read_until(Wanted wanted, std::chrono::milliseconds most = 5s) {
    auto until = std::chrono::steady_clock::now() + most;
    while (!wanted(received_) && !ended_) {
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      if (left.count() <= 0) break;
      pollfd poll{socket_.get(), POLLIN, 0};
      if (::poll(&poll, 1, static_cast<int>(left.count())) <= 0) break;
      char buffer[65536];
      ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) {
        ended_ = true;
        reset_ = got < 0;
        break;
      }
      received_.append(buffer, static_cast<std::size_t>(got));
    }
    return received_;
  }
  std::string read_until(std::string_view text, std::chrono::milliseconds most = 5s) {
    return read_until([text](const std::string& all) { return all.contains(text); }, most);
  }
  // Everything up to the end of the connection.
  std::string read_all(std::chrono::milliseconds most = 5s) {
    return read_until([](const std::string&) { return false; }, most);
  }
  // One answer with Content-Length (or without body), removed from what was received.
  std::string read_answer(bool head_only = false) {
    read_until("\r\n\r\n");
    auto end = received_.find("\r\n\r\n");
    if (end == std::string::npos) return std::exchange(received_, {});
    std::size_t size = end + 4;
    auto at = received_.find("Content-Length: ");
    if (!head_only && at != std::string::npos && at < end) {
      size += std::stoul(received_.substr(at + 16));
    }
    read_until([size](const std::string& all) { return all.size() >= size; });
    std::string answer = received_.substr(0, size);
    received_.erase(0, size);
    return answer;
  }

  bool ended() const { return ended_; }
  bool was_reset() const { return reset_; }
  void finish_sending() { ::shutdown(socket_.get(), SHUT_WR); }
  void close() { socket_.reset(); }
  void reset() {
    linger now{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_.reset();
  }

 private:
  sys::Fd socket_;
  std::string received_;
  bool connected_ = false;
  bool ended_ = false;
  bool reset_ = false;
};

// Waits for something that another thread is about to make true.
template <class Condition>
bool eventually(Condition condition, std::chrono::milliseconds most = 5s) {
  auto until = std::chrono::steady_clock::now() + most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

inline int status_of(std::string_view answer) {
  if (answer.size() < 12 || !answer.starts_with("HTTP/1.")) return 0;
  return std::stoi(std::string(answer.substr(9, 3)));
}

inline std::string body_of(std::string_view answer) {
  auto end = answer.find("\r\n\r\n");
  return end == std::string_view::npos ? std::string() : std::string(answer.substr(end + 4));
}

}  // namespace corral::net::testing

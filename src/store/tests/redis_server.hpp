// A Redis server of a test's own: Debian's redis-server in a temporary folder, on a free port of
// the loopback interface and a unix socket, with a password when one is wanted. Ends with the
// object.
//
// Thread rule: one thread.
// Example: RedisServer server; RedisUrl url = server.url();
#pragma once

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "net/tests/test_support.hpp"
#include "store/redis_url.hpp"
#include "sys/ports.hpp"
#include "sys/process.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::store {

class RedisServer {
 public:
  explicit RedisServer(std::string password = {}, std::vector<std::string> more = {})
      : password_(std::move(password)), more_(std::move(more)) {
    auto free = sys::free_loopback_port();
    if (!free) throw std::runtime_error(free.error().describe());
    port_ = *free;
    start();
  }
  RedisServer(const RedisServer&) = delete;
  ~RedisServer() { kill(); }

  void start() {
    // In a file: arguments are seen by everybody.
    std::string config = fmt::format(
        "bind 127.0.0.1\nport {}\nunixsocket {}\nsave \"\"\nappendonly no\nprotected-mode no\n",
        port_, socket_path());
    if (!password_.empty()) config += "requirepass \"" + password_ + "\"\n";
    for (const auto& line : more_) config += line + "\n";
    sys::SpawnSpec spec;
    spec.program = "/usr/bin/redis-server";
    spec.arguments = {folder_.put("redis.conf", config).string()};
    spec.environment = {{"PATH", "/usr/bin:/bin"}};
    spec.working_directory = folder_.path();
    auto child = processes_->spawn(spec);
    if (!child) {
      throw std::runtime_error(child.error().describe() +
                               "; install redis-server (scripts/install-deps test)");
    }
    child_ = std::move(*child);
    bool up = net::testing::eventually(
        [this] { return net::testing::RawClient(port_).connected(); }, std::chrono::seconds(20));
    if (!up) throw std::runtime_error("redis-server does not answer");
  }
  void kill() {
    if (!child_) return;
    child_->kill_group();
    wait_for_end();
  }
  // Answers nothing any more, and keeps its connections.
  void freeze() { ::kill(child_->pid(), SIGSTOP); }
  void thaw() { ::kill(child_->pid(), SIGCONT); }

  std::uint16_t port() const { return port_; }
  std::string socket_path() const { return (folder_ / "redis.sock").string(); }
  const sys::TempFolder& folder() const { return folder_; }
  RedisUrl url() const {
    RedisUrl url;
    url.host = "127.0.0.1";
    url.port = port_;
    url.password = password_;
    return url;
  }

 private:
  void wait_for_end() {
    pollfd ended{.fd = child_->exit_fd(), .events = POLLIN, .revents = 0};
    ::poll(&ended, 1, 10'000);
    (void)child_->try_wait();
    child_.reset();
  }

  std::string password_;
  std::vector<std::string> more_;
  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  sys::TempFolder folder_;
  std::uint16_t port_ = 0;
  std::unique_ptr<sys::ChildProcess> child_;
};

}  // namespace corral::store

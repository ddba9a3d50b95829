#include "store/tests/postgres_server.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "store/database.hpp"
#include "sys/ports.hpp"

namespace corral::store {
namespace {

constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin/";
std::unique_ptr<PostgresServer> shared_server;

}  // namespace

// Stops the server after the last test.
class PostgresEnvironment : public ::testing::Environment {
 public:
  void TearDown() override { shared_server.reset(); }
  static PostgresServer& get() {
    if (!shared_server) shared_server.reset(new PostgresServer);
    return *shared_server;
  }
};

namespace {
const auto* const environment = ::testing::AddGlobalTestEnvironment(new PostgresEnvironment);
}

PostgresServer& PostgresServer::shared() { return PostgresEnvironment::get(); }

PostgresServer::PostgresServer() : user_(::geteuid()) {
  if (user_ == 0) {
    const passwd* postgres = ::getpwnam("postgres");
    user_ = postgres != nullptr ? postgres->pw_uid : 65534;
    if (::chown(folder_.path().c_str(), user_, static_cast<gid_t>(-1)) != 0)
      throw std::runtime_error("chown of the server's folder failed");
  }
  auto password_file = folder_.put("password", kPassword);
  auto free = sys::free_loopback_port();
  if (!free) throw std::runtime_error(free.error().describe());
  port_ = *free;
  run_to_end("initdb", {"--pgdata", (folder_ / "data").string(), "--username", "corral", "--pwfile",
                        password_file.string(), "--auth-local", "trust", "--auth-host",
                        "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8",
                        "--locale-provider", "icu", "--icu-locale", "en", "--no-sync"});
  start();
}

std::unique_ptr<sys::ChildProcess> PostgresServer::spawn(const std::string& program,
                                                         std::vector<std::string> arguments) {
  sys::SpawnSpec spec;
  spec.program = kPrograms + program;
  spec.arguments = std::move(arguments);
  spec.environment = {{"LC_ALL", "C.UTF-8"}, {"PATH", "/usr/bin:/bin"}};
  spec.working_directory = folder_.path();
  spec.capture_stderr = true;
  if (::geteuid() == 0) {
    // Changing the user forgets that we wanted it to die with us: QUIT ends all of it at once.
    std::vector<std::string> wrapped = {fmt::format("--reuid={}", user_), "--clear-groups",
                                        "--pdeathsig=QUIT", "--", spec.program.string()};
    for (auto& argument : spec.arguments) wrapped.push_back(std::move(argument));
    spec.program = "/usr/bin/setpriv";
    spec.arguments = std::move(wrapped);
  }
  auto child = processes_->spawn(spec);
  if (!child)
    throw std::runtime_error(program + ": " + child.error().describe() +
                             "; install postgresql-15 (scripts/install-deps test)");
  return std::move(*child);
}

void PostgresServer::run_to_end(const std::string& program, std::vector<std::string> arguments) {
  auto child = spawn(program, std::move(arguments));
  std::string said;
  std::array<char, 4096> buffer{};
  for (;;) {
    pollfd ready{.fd = child->stderr_fd(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, 60000);
    auto got = sys::read_available(child->stderr_fd(), buffer);
    if (!got) continue;
    if (*got == 0) break;
    said.append(buffer.data(), *got);
  }
  pollfd ended{.fd = child->exit_fd(), .events = POLLIN, .revents = 0};
  ::poll(&ended, 1, 60000);
  auto status = child->try_wait();
  if (!status || status->by_signal || status->code != 0)
    throw std::runtime_error(program + " failed: " + said);
}

void PostgresServer::start() {
  std::vector<std::string> arguments = {"-D", (folder_ / "data").string()};
  for (std::string setting :
       {fmt::format("port={}", port_), std::string("listen_addresses=127.0.0.1"),
        "unix_socket_directories=" + folder_.path().string(), std::string("fsync=off"),
        std::string("max_connections=40"), std::string("full_page_writes=off"),
        std::string("shared_buffers=16MB")}) {
    arguments.push_back("-c");
    arguments.push_back(std::move(setting));
  }
  server_ = spawn("postgres", std::move(arguments));
  wait_until_it_answers();
}

void PostgresServer::wait_until_it_answers() {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    auto database = Database::open({.url = url("postgres")});
    if (database) return;
    if (server_->try_wait() || std::chrono::steady_clock::now() > deadline) {
      std::array<char, 4096> buffer{};
      auto got = sys::read_available(server_->stderr_fd(), buffer);
      throw std::runtime_error("PostgreSQL does not answer: " + database.error().describe() + "\n" +
                               std::string(buffer.data(), got.value_or(0)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void PostgresServer::stop() {
  if (!server_) return;
  (void)server_->send(sys::Signal::interrupt);
  pollfd ended{.fd = server_->exit_fd(), .events = POLLIN, .revents = 0};
  ::poll(&ended, 1, 30000);
  (void)server_->try_wait();
  server_.reset();
}

void PostgresServer::kill_hard() {
  ::kill(server_->pid(), SIGQUIT);  // no farewell to clients, no checkpoint
  pollfd ended{.fd = server_->exit_fd(), .events = POLLIN, .revents = 0};
  ::poll(&ended, 1, 30000);
  (void)server_->try_wait();
  server_.reset();
}

PostgresServer::~PostgresServer() {
  admin_.reset();
  stop();
}

std::string PostgresServer::url(const std::string& database, const std::string& password) const {
  std::string_view encoded = password == kPassword ? kEncodedPassword : std::string_view(password);
  return fmt::format("postgresql://corral:{}@127.0.0.1:{}/{}", encoded, port_, database);
}

std::string PostgresServer::socket_url(const std::string& database) const {
  return fmt::format("postgresql://corral@/{}?host={}&port={}", database, folder_.path().string(),
                     port_);
}

std::string PostgresServer::new_database() {
  std::string name = fmt::format("test_{}", ++databases_);
  if (!admin_) {
    auto admin = Database::open({.url = url("postgres")});
    if (!admin) throw std::runtime_error(admin.error().describe());
    admin_ = std::move(*admin);
  }
  auto made = admin_->run("create database " + name);
  if (!made) throw std::runtime_error(made.error().describe() + " " + made.error().cause);
  return url(name);
}

}  // namespace corral::store

// A PostgreSQL server of the test program's own: Debian's postgresql-15 in a temporary folder, on a
// unix socket there and a free port of the loopback interface, with a password.
//
// Started once, at its first use, and stopped at the end of the program, also when that ends badly.
// Its texts sort by a language (ICU, English), as those of real installations do.
// Thread rule: one thread.
// Example:
//   std::string url = PostgresServer::shared().new_database();
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sys/fd.hpp"
#include "sys/process.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::store {

class Database;

class PostgresServer {
 public:
  static PostgresServer& shared();  // running
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // A database of its own, by TCP and password; throws std::runtime_error when that fails.
  std::string new_database();
  // The same for a database that exists, with other words.
  std::string url(const std::string& database, const std::string& password = kPassword) const;
  std::string socket_url(const std::string& database) const;

  void start();
  void stop();       // politely
  void kill_hard();  // every process of it at once, as a crash would
  ~PostgresServer();

  static constexpr const char* kPassword = "p%w:/7";
  static constexpr const char* kEncodedPassword = "p%25w%3A%2F7";

 private:
  friend class PostgresEnvironment;
  PostgresServer();
  std::unique_ptr<sys::ChildProcess> spawn(const std::string& program,
                                           std::vector<std::string> arguments);
  void run_to_end(const std::string& program, std::vector<std::string> arguments);
  void wait_until_it_answers();

  std::unique_ptr<sys::Processes> processes_ = sys::real_processes();
  sys::TempFolder folder_;
  uid_t user_ = 0;  // who runs it: not root, which PostgreSQL refuses
  std::uint16_t port_ = 0;
  std::unique_ptr<sys::ChildProcess> server_;
  std::unique_ptr<Database> admin_;  // survives restarts of the server
  int databases_ = 0;
};

}  // namespace corral::store

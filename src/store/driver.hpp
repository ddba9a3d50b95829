// One connection to one database, as its client library gives it. Internal to the module:
// Connection adds transactions, checks of parameters and reconnection, the same for both.
//
// Thread rule: one thread at a time.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "base/error.hpp"
#include "store/rows.hpp"
#include "store/url.hpp"

namespace corral::store {

enum class Access { read_write, read_only };

struct DriverOptions {
  DatabaseUrl url;
  Access access = Access::read_write;
  std::chrono::milliseconds busy_timeout{5000};
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds statement_timeout{15000};
};

class Driver {
 public:
  virtual ~Driver() = default;
  // Opens the connection, or drops it and opens it anew.
  virtual Result<void> connect() = 0;
  // Is the connection, as far as can be told without asking the server, still there? Cheap.
  virtual bool alive() = 0;
  // One statement, prepared at its first use and kept.
  virtual Result<Rows> run(std::string_view sql, std::span<const Value> parameters) = 0;
  // Any number of statements without parameters.
  virtual Result<void> script(const std::string& sql) = 0;
  virtual void disconnect() = 0;
  // Ends the transaction, whatever state it is in. False: the connection must be made anew.
  virtual bool roll_back() = 0;
};

std::unique_ptr<Driver> make_sqlite_driver(DriverOptions options);

class PostgresLibrary;
std::unique_ptr<Driver> make_postgres_driver(DriverOptions options,
                                             std::shared_ptr<const PostgresLibrary> library);
// Loads libpq. unavailable: it is not installed.
Result<std::shared_ptr<const PostgresLibrary>> load_postgres_library();

}  // namespace corral::store

// The database of the program: a few connections that threads borrow.
//
// SQLite: one file in WAL mode, made at first use readable by its owner only; any number of readers
// beside one writer, also of other processes; a writer waits `busy_timeout` for another.
// PostgreSQL: libpq is loaded when the first such URL is opened, since it would cost every other
// installation 3.5 MB of memory.
//
// Thread rule: thread-safe; a borrowed Connection belongs to one thread at a time. Calls block: run
// them on net::BlockingPool.
// Lifecycle: outlives every connection it lent. `open` makes the first connection and so reports a
// wrong URL, password or file; the others are made when needed, and a lost one anew at its next
// use. Example:
//   CORRAL_TRY(auto database, Database::open({.url = "sqlite:/var/lib/corral/corral.db"}));
//   CORRAL_TRY(auto rows, database->run("select name from t where id > $1 limit 10", {5}));
//   CORRAL_CHECK(database->transact([&](Connection& connection) -> Result<void> {
//     CORRAL_CHECK(connection.run("delete from t where id = $1", {5}));
//     ...
//   }));
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.hpp"
#include "store/connection.hpp"
#include "store/driver.hpp"

namespace corral::store {

struct DatabaseOptions {
  std::string url;                               // store/url.hpp
  std::size_t connections = 4;                   // at most so many at a time
  std::chrono::milliseconds busy_timeout{5000};  // for a lock that somebody else holds
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds statement_timeout{15000};  // PostgreSQL ends the statement then
  std::chrono::milliseconds borrow_timeout{5000};      // for a connection that is free
  Access access = Access::read_write;
};

class Database;

// A connection on loan, given back when destroyed. Transactions on it end before that.
class Borrowed {
 public:
  Borrowed(Database& database, std::unique_ptr<Connection> connection);
  Borrowed(Borrowed&&) noexcept = default;
  Borrowed& operator=(Borrowed&&) = delete;
  ~Borrowed();

  Connection& operator*() const { return *connection_; }
  Connection* operator->() const { return connection_.get(); }

 private:
  Database* database_;
  std::unique_ptr<Connection> connection_;
};

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(DatabaseOptions options);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  Dialect dialect() const { return options_.url.dialect; }
  std::string display() const { return options_.url.display(); }  // without the password

  // Waits for a free connection; unavailable when none comes back in time.
  Result<Borrowed> borrow();

  // One statement on a connection of its own.
  Result<Rows> run(std::string_view sql, std::initializer_list<Value> parameters = {});

  // `work(Connection&)` gives a Result; its error, or one of committing, undoes everything.
  template <class Work>
  std::invoke_result_t<Work, Connection&> transact(Work&& work) {
    CORRAL_TRY(Borrowed connection, borrow());
    CORRAL_TRY(Transaction transaction, Transaction::begin(*connection));
    auto result = std::forward<Work>(work)(*connection);
    if (result) CORRAL_CHECK(transaction.commit());
    return result;
  }

 private:
  friend class Borrowed;
  Database(const DatabaseOptions& options, DatabaseUrl url,
           std::shared_ptr<const PostgresLibrary> library);
  std::unique_ptr<Connection> make_connection() const;
  void give_back(std::unique_ptr<Connection> connection);

  DriverOptions options_;
  std::size_t most_;
  std::chrono::milliseconds borrow_timeout_;
  std::shared_ptr<const PostgresLibrary> library_;  // null for SQLite
  std::mutex mutex_;
  std::condition_variable returned_;
  std::size_t lent_ = 0;
  std::vector<std::unique_ptr<Connection>> idle_;  // the last one given back is lent first
};

}  // namespace corral::store

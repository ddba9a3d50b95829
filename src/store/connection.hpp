// One connection to the database, and transactions on it.
//
// The same statements, errors and rules for SQLite and PostgreSQL:
//   - a statement is one SQL statement with parameters $1, $2, ...; words in braces stand for what
//     differs (store/dialect.hpp). It is prepared at its first use on the connection and kept.
//   - error codes: conflict (a unique or foreign key is violated), invalid_argument (another check
//     refused a value), unavailable (connection lost, database locked or starting; try again),
//     timeout, too_large, io (disk full, read-only, corrupt; the hint says what to do), internal
//     (the SQL is wrong). Texts of errors never hold the values of parameters or the password.
//   - after an error inside a transaction nothing but its rollback is possible.
//   - a lost connection is made anew at the next use outside a transaction. Whether a statement
//     that was under way took effect is then unknown, so it is never repeated here.
//
// Thread rule: one thread at a time. Calls block: run them on net::BlockingPool.
// Lifecycle: made and owned by Database, which lends it out.
// Example:
//   CORRAL_TRY(auto transaction, Transaction::begin(connection));
//   CORRAL_TRY(auto rows, connection.run("select n from t where id = $1 {for_update}", {id}));
//   CORRAL_CHECK(connection.run("update t set n = $1 where id = $2", {n + 1, id}));
//   return transaction.commit();
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include "base/error.hpp"
#include "store/dialect.hpp"
#include "store/rows.hpp"

namespace corral::store {

class Driver;

class Connection {
 public:
  Connection(Dialect dialect, std::unique_ptr<Driver> driver);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  Dialect dialect() const { return dialect_; }
  bool in_transaction() const { return state_ != State::idle; }

  // Prepares, binds, runs, reads all rows. invalid_argument also for a text that is no UTF-8 or
  // holds a NUL, and for a number that is not finite.
  Result<Rows> run(std::string_view sql, std::span<const Value> parameters);
  Result<Rows> run(std::string_view sql, std::initializer_list<Value> parameters = {}) {
    return run(sql, std::span(parameters.begin(), parameters.size()));
  }

  // Several statements without parameters, for the structure of tables.
  Result<void> script(std::string_view sql);

  // Connects if there is no connection. Any other call does that by itself.
  Result<void> connect();

 private:
  friend class Transaction;
  enum class State { idle, open, failed };

  Result<void> begin();
  Result<void> commit();
  void roll_back();
  Result<void> ready();

  Dialect dialect_;
  std::unique_ptr<Driver> driver_;
  State state_ = State::idle;
};

// All or nothing: what was done on the connection since `begin` is undone unless it is committed.
// There is one transaction at a time on a connection; beginning another is an error (internal).
class Transaction {
 public:
  static Result<Transaction> begin(Connection& connection);

  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() { roll_back(); }

  // unavailable: the connection broke while committing, and whether it took effect is unknown.
  Result<void> commit();
  void roll_back();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;  // null when it has ended
};

}  // namespace corral::store

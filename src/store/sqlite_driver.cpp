#include <fmt/core.h>
#include <sqlite3.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "base/text.hpp"
#include "store/driver.hpp"
#include "store/sqlite_errors.hpp"
#include "store/statement_cache.hpp"

namespace corral::store {
namespace {

namespace fs = std::filesystem;

struct Close {
  void operator()(sqlite3* db) const { ::sqlite3_close_v2(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
};

struct Prepared {
  std::unique_ptr<sqlite3_stmt, Finalize> statement;
  std::vector<std::size_t> numbers;  // of SQLite's Nth parameter: the number after its '$'
  std::size_t highest = 0;
};

// Makes the file so that only its owner can read it; the WAL and shared memory files follow it.
void create_private(const std::string& path) {
  std::error_code error;
  if (fs::exists(path, error) || error) return;
  {
    std::ofstream made(path, std::ios::app);
    if (!made) return;  // opening it will say why
  }
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, error);
}

class SqliteDriver final : public Driver {
 public:
  explicit SqliteDriver(DriverOptions options) : options_(std::move(options)) {}
  ~SqliteDriver() override { close(); }

  Result<void> connect() override;
  void disconnect() override { close(); }
  bool alive() override { return db_ != nullptr; }
  Result<Rows> run(std::string_view sql, std::span<const Value> parameters) override;
  Result<void> script(const std::string& sql) override;
  bool roll_back() override;

 private:
  Error error(int code) const { return sqlite_error(db_.get(), code, options_.url.path); }
  void close();
  Result<void> configure();
  Result<void> enter_wal();
  Result<Prepared*> prepared(std::string_view sql);
  Result<void> bind(const Prepared& prepared, std::span<const Value> parameters) const;
  Result<Rows> step_all(sqlite3_stmt* statement);

  DriverOptions options_;
  std::unique_ptr<sqlite3, Close> db_;
  StatementCache<Prepared> cache_{kPreparedStatements};
};

// Statements go first: the database stays open until they are gone.
void SqliteDriver::close() {
  cache_.clear();
  db_.reset();
}

Result<void> SqliteDriver::connect() {
  close();
  bool writes = options_.access == Access::read_write;
  if (writes) create_private(options_.url.path);
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
              (writes ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY);
  sqlite3* opened = nullptr;
  int code = ::sqlite3_open_v2(options_.url.path.c_str(), &opened, flags, nullptr);
  db_.reset(opened);
  Result<void> done;
  if (code != SQLITE_OK)
    done = error(code);
  else
    done = configure();
  if (!done) close();
  return done;
}

Result<void> SqliteDriver::configure() {
  ::sqlite3_busy_timeout(db_.get(), static_cast<int>(options_.busy_timeout.count()));
  // "text" in double quotes is a name, never a string that a typing error made of it.
  ::sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  ::sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  // Neither SQL nor a manipulated file can reach outside of the database.
  ::sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  ::sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  ::sqlite3_limit(db_.get(), SQLITE_LIMIT_ATTACHED, 0);
  CORRAL_CHECK(
      script("pragma foreign_keys = on; pragma synchronous = normal; "
             "pragma cell_size_check = on; pragma journal_size_limit = 67108864"));
  if (options_.access == Access::read_write) return enter_wal();
  CORRAL_CHECK(run("select count(*) from sqlite_schema", {}));  // is it a database at all?
  return {};
}

// Changing to WAL fails at once, in spite of the busy timeout, while another connection does it.
Result<void> SqliteDriver::enter_wal() {
  auto deadline = std::chrono::steady_clock::now() + options_.busy_timeout;
  for (;;) {
    auto rows = run("pragma journal_mode = wal", {});
    if (rows) {
      if (rows->size() == 1 && rows->cell(0, 0) == Value("wal")) return {};
      return fail(ErrorCode::io, "the database '" + options_.url.path + "' cannot use a WAL")
          .hint("keep it on a local disk, not on a network share");
    }
    if (rows.error().code != ErrorCode::unavailable || std::chrono::steady_clock::now() > deadline)
      return std::unexpected(std::move(rows).error());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

Result<Prepared*> SqliteDriver::prepared(std::string_view sql) {
  if (Prepared* known = cache_.find(sql)) return known;
  CORRAL_TRY(std::string text, expand(Dialect::sqlite, sql));
  sqlite3_stmt* made = nullptr;
  const char* rest = nullptr;
  int code = ::sqlite3_prepare_v3(db_.get(), text.c_str(), static_cast<int>(text.size()) + 1,
                                  SQLITE_PREPARE_PERSISTENT, &made, &rest);
  Prepared prepared{.statement{made}, .numbers{}, .highest = 0};
  if (code != SQLITE_OK) return error(code);
  if (made == nullptr || !trim(std::string_view(rest)).empty())
    return fail(ErrorCode::internal,
                "a text of several SQL statements, or of none, is no statement");
  int count = ::sqlite3_bind_parameter_count(made);
  for (int i = 1; i <= count; ++i) {
    const char* name = ::sqlite3_bind_parameter_name(made, i);
    auto number = name != nullptr && *name == '$' ? parse_int(name + 1) : Result<std::int64_t>(0);
    if (!number || *number < 1 || *number > 999)
      return fail(ErrorCode::internal, "parameters in SQL are written $1, $2, ...");
    prepared.numbers.push_back(static_cast<std::size_t>(*number));
    prepared.highest = std::max(prepared.highest, prepared.numbers.back());
  }
  if (cache_.oldest_if_full() != nullptr) cache_.drop_oldest();
  return &cache_.put(std::string(sql), std::move(prepared));
}

struct Binder {
  sqlite3_stmt* statement;
  int index;
  int operator()(std::monostate) const { return ::sqlite3_bind_null(statement, index); }
  int operator()(std::int64_t number) const {
    return ::sqlite3_bind_int64(statement, index, number);
  }
  int operator()(double number) const { return ::sqlite3_bind_double(statement, index, number); }
  // The parameters outlive the run, so SQLite need not copy them.
  int operator()(const std::string& text) const {
    return ::sqlite3_bind_text64(statement, index, text.data(), text.size(), SQLITE_STATIC,
                                 SQLITE_UTF8);
  }
  int operator()(const Blob& blob) const {
    return ::sqlite3_bind_blob64(statement, index, blob.bytes.data(), blob.bytes.size(),
                                 SQLITE_STATIC);
  }
};

Result<void> SqliteDriver::bind(const Prepared& prepared, std::span<const Value> parameters) const {
  if (parameters.size() != prepared.highest)
    return fail(ErrorCode::internal, fmt::format("the statement takes {} parameters, {} were given",
                                                 prepared.highest, parameters.size()));
  for (std::size_t i = 0; i < prepared.numbers.size(); ++i) {
    const Value& value = parameters[prepared.numbers[i] - 1];
    int code = std::visit(Binder{prepared.statement.get(), static_cast<int>(i) + 1}, value.held());
    if (code != SQLITE_OK) return error(code);
  }
  return {};
}

Value column(sqlite3_stmt* statement, int index) {
  auto bytes = [&](const void* data) {
    auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement, index));
    return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
  };
  switch (::sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER:
      return Value(static_cast<std::int64_t>(::sqlite3_column_int64(statement, index)));
    case SQLITE_FLOAT: return Value(::sqlite3_column_double(statement, index));
    case SQLITE_TEXT: return Value(bytes(::sqlite3_column_text(statement, index)));
    case SQLITE_BLOB: return Value(Blob{bytes(::sqlite3_column_blob(statement, index))});
    default: return {};
  }
}

Result<Rows> SqliteDriver::step_all(sqlite3_stmt* statement) {
  auto before = ::sqlite3_total_changes64(db_.get());
  std::vector<Value> cells;
  for (;;) {
    int code = ::sqlite3_step(statement);
    if (code == SQLITE_DONE) break;
    if (code != SQLITE_ROW) return error(code);
    int columns = ::sqlite3_data_count(statement);
    for (int i = 0; i < columns; ++i) cells.push_back(column(statement, i));
  }
  // Asked for only now: a step prepares the statement anew when the table has changed.
  int columns = ::sqlite3_column_count(statement);
  // A statement that changes nothing leaves the count of the one before.
  bool changed = ::sqlite3_total_changes64(db_.get()) != before;
  return Rows(static_cast<std::size_t>(columns), std::move(cells),
              changed ? ::sqlite3_changes64(db_.get()) : 0);
}

Result<Rows> SqliteDriver::run(std::string_view sql, std::span<const Value> parameters) {
  CORRAL_TRY(auto* statement, prepared(sql));
  // The reset comes after the message of a failed step was read, and ends the read lock.
  auto reset = [](sqlite3_stmt* used) {
    ::sqlite3_reset(used);
    ::sqlite3_clear_bindings(used);
  };
  std::unique_ptr<sqlite3_stmt, decltype(reset)> in_use(statement->statement.get());
  CORRAL_CHECK(bind(*statement, parameters));
  return step_all(in_use.get());
}

Result<void> SqliteDriver::script(const std::string& sql) {
  int code = ::sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return {};
}

bool SqliteDriver::roll_back() {
  if (db_ == nullptr) return false;
  // Some errors (disk full, I/O) have rolled back already.
  if (::sqlite3_get_autocommit(db_.get()) != 0) return true;
  return script("rollback").has_value() && ::sqlite3_get_autocommit(db_.get()) != 0;
}

}  // namespace

std::unique_ptr<Driver> make_sqlite_driver(DriverOptions options) {
  return std::make_unique<SqliteDriver>(std::move(options));
}

}  // namespace corral::store

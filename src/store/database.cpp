#include "store/database.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/bug.hpp"

namespace corral::store {

Borrowed::Borrowed(Database& database, std::unique_ptr<Connection> connection)
    : database_(&database), connection_(std::move(connection)) {}

Borrowed::~Borrowed() {
  if (connection_) database_->give_back(std::move(connection_));
}

Result<std::unique_ptr<Database>> Database::open(DatabaseOptions options) {
  CORRAL_TRY(DatabaseUrl url, DatabaseUrl::parse(options.url));
  std::shared_ptr<const PostgresLibrary> library;
  if (url.dialect == Dialect::postgresql) {
    CORRAL_TRY(library, load_postgres_library());
  }
  std::unique_ptr<Database> database(new Database(options, std::move(url), std::move(library)));
  CORRAL_TRY(Borrowed first, database->borrow());
  CORRAL_CHECK(first->connect());
  return database;
}

Database::Database(const DatabaseOptions& options, DatabaseUrl url,
                   std::shared_ptr<const PostgresLibrary> library)
    : options_{.url = std::move(url),
               .access = options.access,
               .busy_timeout = options.busy_timeout,
               .connect_timeout = options.connect_timeout,
               .statement_timeout = options.statement_timeout},
      most_(std::max<std::size_t>(options.connections, 1)),
      borrow_timeout_(options.borrow_timeout),
      library_(std::move(library)) {}

Database::~Database() {
  std::lock_guard lock(mutex_);
  if (lent_ != 0) BUG("a database was closed while a connection was lent");
}

std::unique_ptr<Connection> Database::make_connection() const {
  auto driver = library_ ? make_postgres_driver(options_, library_) : make_sqlite_driver(options_);
  return std::make_unique<Connection>(dialect(), std::move(driver));
}

Result<Borrowed> Database::borrow() {
  std::unique_lock lock(mutex_);
  if (!returned_.wait_for(lock, borrow_timeout_, [&] { return lent_ < most_; }))
    return fail(ErrorCode::unavailable,
                fmt::format("all {} connections to the database are in use", most_))
        .after(std::chrono::seconds(1));
  ++lent_;
  if (idle_.empty()) return Borrowed(*this, make_connection());
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  return Borrowed(*this, std::move(connection));
}

void Database::give_back(std::unique_ptr<Connection> connection) {
  if (connection->in_transaction()) {
    BUG("a connection was given back inside a transaction");
    connection.reset();  // rolls back; the next borrower must not inherit it
  }
  {
    std::lock_guard lock(mutex_);
    --lent_;
    if (connection) idle_.push_back(std::move(connection));
  }
  returned_.notify_one();
}

Result<Rows> Database::run(std::string_view sql, std::initializer_list<Value> parameters) {
  CORRAL_TRY(Borrowed connection, borrow());
  return connection->run(sql, parameters);
}

}  // namespace corral::store

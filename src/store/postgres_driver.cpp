#include <fmt/core.h>

#include "base/text.hpp"
#include "store/driver.hpp"
#include "store/postgres_errors.hpp"
#include "store/postgres_library.hpp"
#include "store/postgres_values.hpp"
#include "store/statement_cache.hpp"

namespace corral::store {
namespace {

struct Clear {
  const PostgresLibrary* pq;
  void operator()(PGresult* result) const { pq->PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, Clear>;

struct Finish {
  const PostgresLibrary* pq;
  void operator()(PGconn* connection) const { pq->PQfinish(connection); }
};

class PostgresDriver final : public Driver {
 public:
  PostgresDriver(DriverOptions options, std::shared_ptr<const PostgresLibrary> library)
      : options_(std::move(options)),
        library_(std::move(library)),
        pq_(*library_),
        connection_(nullptr, Finish{library_.get()}) {}

  Result<void> connect() override;
  void disconnect() override;
  bool alive() override;
  Result<Rows> run(std::string_view sql, std::span<const Value> parameters) override;
  Result<void> script(const std::string& sql) override;
  bool roll_back() override;

 private:
  Error connect_error(std::string_view text) const;
  Result<void> configure();
  PgResult own(PGresult* result) const { return {result, Clear{library_.get()}}; }
  Result<PgResult> checked(PgResult result) const;
  Result<std::string> prepared(std::string_view sql, std::span<const Value> parameters);
  Result<Rows> run_prepared(std::string_view sql, std::span<const Value> parameters);
  Rows rows_of(const PGresult* result) const;
  bool idle() const { return pq_.PQtransactionStatus(connection_.get()) == PQTRANS_IDLE; }

  DriverOptions options_;
  std::shared_ptr<const PostgresLibrary> library_;
  const PostgresLibrary& pq_;
  std::unique_ptr<PGconn, Finish> connection_;
  StatementCache<std::string> cache_{kPreparedStatements};  // the statement's name at the server
  std::uint64_t next_name_ = 1;
};

Error PostgresDriver::connect_error(std::string_view text) const {
  std::string reason = postgres_lost(text).cause;
  auto password = options_.url.keywords.find("password");
  // libpq does not repeat it. Should a server do so, it goes no further.
  if (password != options_.url.keywords.end() && reason.contains(password->second)) reason.clear();
  return fail(ErrorCode::unavailable,
              fmt::format("cannot connect to {}{}{}", options_.url.display(),
                          reason.empty() ? "" : ": ", reason))
      .hint("check that the server runs, and the host, port, user and password in the URL")
      .after(std::chrono::seconds(1));
}

Result<void> PostgresDriver::connect() {
  disconnect();
  auto seconds = std::chrono::ceil<std::chrono::seconds>(options_.connect_timeout).count();
  std::map<std::string, std::string> words = {
      {"client_encoding", "UTF8"},
      {"connect_timeout", fmt::format("{}", std::max<std::int64_t>(seconds, 2))},
      {"application_name", "corral"},
      {"gssencmode", "disable"},
      // A peer that vanished without a word is found out within half a minute.
      {"keepalives_idle", "10"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "3"},
      {"tcp_user_timeout", "20000"},
  };
  for (const auto& [key, value] : options_.url.keywords) words[key] = value;
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : words) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  connection_.reset(pq_.PQconnectdbParams(keys.data(), values.data(), 0));
  Result<void> done;
  if (pq_.PQstatus(connection_.get()) != CONNECTION_OK)
    done = connect_error(pq_.PQerrorMessage(connection_.get()));
  else
    done = configure();
  if (!done) disconnect();
  return done;
}

Result<void> PostgresDriver::configure() {
  pq_.PQsetNoticeReceiver(connection_.get(), [](void*, const PGresult*) {}, nullptr);
  const char* encoding = pq_.PQparameterStatus(connection_.get(), "server_encoding");
  if (encoding == nullptr || std::string_view(encoding) != "UTF8")
    return fail(ErrorCode::unsupported,
                fmt::format("the database at {} is not in UTF-8", options_.url.display()))
        .hint("create it with: create database NAME encoding 'UTF8' template template0");
  // By statement, not as a start-up option: connection poolers refuse those.
  return script(
      fmt::format("set statement_timeout = {}; set lock_timeout = {}; "
                  "set timezone = 'UTC'; set bytea_output = 'hex'; "
                  "set standard_conforming_strings = on; "
                  "set default_transaction_read_only = {}",
                  options_.statement_timeout.count(), options_.busy_timeout.count(),
                  options_.access == Access::read_only ? "on" : "off"));
}

void PostgresDriver::disconnect() {
  cache_.clear();
  connection_.reset();
}

bool PostgresDriver::alive() {
  if (!connection_) return false;
  // Takes note of what the server sent unasked: its farewell with the first call, the end of the
  // stream with the second. Neither waits.
  for (int i = 0; i < 2; ++i) {
    if (pq_.PQconsumeInput(connection_.get()) == 0) return false;
    (void)pq_.PQisBusy(connection_.get());
  }
  return pq_.PQstatus(connection_.get()) == CONNECTION_OK;
}

Result<PgResult> PostgresDriver::checked(PgResult result) const {
  ExecStatusType status = result ? pq_.PQresultStatus(result.get()) : PGRES_FATAL_ERROR;
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return result;
  const char* state = result ? pq_.PQresultErrorField(result.get(), PG_DIAG_SQLSTATE) : nullptr;
  if (state == nullptr || pq_.PQstatus(connection_.get()) != CONNECTION_OK) {
    if (pq_.PQstatus(connection_.get()) != CONNECTION_OK)
      return postgres_lost(pq_.PQerrorMessage(connection_.get()));
    return fail(ErrorCode::internal, "PostgreSQL's client gave no answer that is understood")
        .because(pq_.PQerrorMessage(connection_.get()));
  }
  const char* text = pq_.PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
  return postgres_error(state, text == nullptr ? "" : text);
}

Result<std::string> PostgresDriver::prepared(std::string_view sql,
                                             std::span<const Value> parameters) {
  // The server fixes parameter types when it prepares, so the types belong to the key.
  std::string key(sql);
  std::vector<Oid> types;
  for (const Value& value : parameters) {
    types.push_back(postgres_type(value));
    key += fmt::format("\x1f{}", types.back());
  }
  if (std::string* known = cache_.find(key)) return *known;
  CORRAL_TRY(std::string text, expand(Dialect::postgresql, sql));
  // The server would not mind too many.
  if (std::size_t wanted = count_parameters(text); parameters.size() != wanted)
    return fail(ErrorCode::internal, fmt::format("the statement takes {} parameters, {} were given",
                                                 wanted, parameters.size()));
  while (std::string* oldest = cache_.oldest_if_full()) {
    auto gone = own(pq_.PQexec(connection_.get(), ("deallocate " + *oldest).c_str()));
    cache_.drop_oldest();
  }
  std::string name = fmt::format("s{}", next_name_++);
  CORRAL_CHECK(checked(own(pq_.PQprepare(connection_.get(), name.c_str(), text.c_str(),
                                         static_cast<int>(types.size()), types.data()))));
  cache_.put(std::move(key), name);
  return name;
}

Rows PostgresDriver::rows_of(const PGresult* result) const {
  int columns = pq_.PQnfields(result), rows = pq_.PQntuples(result);
  std::vector<Value> cells;
  cells.reserve(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows));
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < columns; ++i) {
      if (pq_.PQgetisnull(result, row, i) != 0) {
        cells.emplace_back();
        continue;
      }
      std::string_view text(pq_.PQgetvalue(result, row, i),
                            static_cast<std::size_t>(pq_.PQgetlength(result, row, i)));
      cells.push_back(from_postgres(pq_.PQftype(result, i), text));
    }
  }
  std::string_view command = pq_.PQcmdStatus(const_cast<PGresult*>(result));
  std::int64_t changed = 0;
  if (!command.starts_with("SELECT"))
    changed = parse_int(pq_.PQcmdTuples(const_cast<PGresult*>(result))).value_or(0);
  return Rows(static_cast<std::size_t>(columns), std::move(cells), changed);
}

Result<Rows> PostgresDriver::run_prepared(std::string_view sql, std::span<const Value> parameters) {
  CORRAL_TRY(std::string name, prepared(sql, parameters));
  std::vector<std::string> texts;
  texts.reserve(parameters.size());
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  for (const Value& value : parameters) {
    bool bytes = std::holds_alternative<Blob>(value.held());
    texts.push_back(to_postgres(value));
    values.push_back(value.is_null() ? nullptr : texts.back().c_str());
    lengths.push_back(static_cast<int>(texts.back().size()));
    formats.push_back(bytes ? 1 : 0);
  }
  CORRAL_TRY(PgResult result, checked(own(pq_.PQexecPrepared(
                                  connection_.get(), name.c_str(), static_cast<int>(values.size()),
                                  values.data(), lengths.data(), formats.data(), 0))));
  // A failed transaction answers COMMIT with this and no error.
  if (sql == "commit" && std::string_view(pq_.PQcmdStatus(result.get())) != "COMMIT")
    return fail(ErrorCode::internal, "PostgreSQL rolled the transaction back");
  return rows_of(result.get());
}

Result<Rows> PostgresDriver::run(std::string_view sql, std::span<const Value> parameters) {
  bool was_idle = idle();
  auto rows = run_prepared(sql, parameters);
  if (rows || !was_idle || !idle()) return rows;
  // Tables changed under a prepared statement, or a pooler lost it: nothing has been done yet.
  const std::string& cause = rows.error().cause;
  if (!cause.starts_with("PostgreSQL 0A000") && !cause.starts_with("PostgreSQL 26000")) return rows;
  auto gone = own(pq_.PQexec(connection_.get(), "deallocate all"));
  cache_.clear();
  return run_prepared(sql, parameters);
}

Result<void> PostgresDriver::script(const std::string& sql) {
  CORRAL_CHECK(checked(own(pq_.PQexec(connection_.get(), sql.c_str()))));
  return {};
}

bool PostgresDriver::roll_back() {
  if (!connection_ || pq_.PQstatus(connection_.get()) != CONNECTION_OK) return false;
  return script("rollback").has_value() && idle();
}

}  // namespace

std::unique_ptr<Driver> make_postgres_driver(DriverOptions options,
                                             std::shared_ptr<const PostgresLibrary> library) {
  return std::make_unique<PostgresDriver>(std::move(options), std::move(library));
}

}  // namespace corral::store

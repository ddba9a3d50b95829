#include "store/migrations.hpp"

#include <fmt/core.h>
#include <sodium.h>

#include <array>

namespace corral::store {
namespace {

constexpr std::string_view kTable = R"(
  create table if not exists migrations (
    number {int} primary key, name {text} not null, checksum {text} not null,
    applied_ms {int} not null
  ) {strict})";

Result<std::vector<AppliedMigration>> read_applied(Connection& connection) {
  // The whole table on purpose: it has a row for each step there ever was.
  CORRAL_TRY(Rows rows, connection.run("select number, name, checksum, applied_ms from migrations "
                                       "order by number"));
  std::vector<AppliedMigration> applied(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    applied[i].number = static_cast<int>(read.integer());
    applied[i].name = read.text();
    applied[i].checksum = read.text();
    applied[i].applied = read.time();
    CORRAL_CHECK(read.done());
  }
  return applied;
}

Result<void> check_known(std::span<const Migration> migrations,
                         const std::vector<AppliedMigration>& applied) {
  if (applied.size() > migrations.size())
    return fail(ErrorCode::conflict,
                fmt::format(
                    "the database is at version {}, and this program knows versions up to {}",
                    applied.size(), migrations.size()))
        .hint("start the newer program, or let it take the database down to this one's version");
  for (std::size_t i = 0; i < applied.size(); ++i) {
    const Migration& known = migrations[i];
    if (applied[i].number != known.number || applied[i].checksum != checksum(known))
      return fail(ErrorCode::conflict,
                  fmt::format("step {} ('{}') of the database's structure was made by another "
                              "program: its checksum differs from that of '{}' here",
                              applied[i].number, applied[i].name, known.name))
          .hint("use the program that made the database, or restore a backup of this one's");
  }
  return {};
}

// One step towards the target, in a transaction of its own. False: there already.
Result<bool> step(Connection& connection, std::span<const Migration> migrations, int target,
                  const sys::Clock& clock) {
  CORRAL_TRY(Transaction transaction, Transaction::begin(connection));
  if (auto lock = migration_lock(connection.dialect()); !lock.empty())
    CORRAL_CHECK(connection.script(lock));
  CORRAL_CHECK(connection.script(kTable));
  CORRAL_TRY(auto applied, read_applied(connection));
  CORRAL_CHECK(check_known(migrations, applied));
  int version = static_cast<int>(applied.size());
  if (version < target) {
    const Migration& next = migrations[applied.size()];
    CORRAL_CHECK(connection.script(next.up));
    CORRAL_CHECK(connection.run(
        "insert into migrations (number, name, checksum, applied_ms) values ($1, $2, $3, $4)",
        {next.number, next.name, checksum(next), to_milliseconds(clock.wall())}));
  } else if (version > target) {
    CORRAL_CHECK(connection.script(migrations[applied.size() - 1].down));
    CORRAL_CHECK(connection.run("delete from migrations where number = $1", {version}));
  }
  CORRAL_CHECK(transaction.commit());
  return version != target;
}

Result<void> check_numbers(std::span<const Migration> migrations, int target) {
  for (std::size_t i = 0; i < migrations.size(); ++i)
    if (migrations[i].number != static_cast<int>(i) + 1)
      return fail(ErrorCode::internal,
                  fmt::format("migration {} ('{}') is not number {}", migrations[i].number,
                              migrations[i].name, i + 1));
  if (target < 0 || target > static_cast<int>(migrations.size()))
    return fail(ErrorCode::invalid_argument,
                fmt::format("there is no version {} of the database; the newest is {}", target,
                            migrations.size()));
  return {};
}

}  // namespace

std::string checksum(const Migration& migration) {
  std::string whole =
      fmt::format("{}\n{}\n{}\n{}", migration.number, migration.name, migration.up, migration.down);
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  ::crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(whole.data()),
                       whole.size());
  std::string text;
  for (unsigned char byte : hash) text += fmt::format("{:02x}", byte);
  return text;
}

Result<int> migrate(Database& database, std::span<const Migration> migrations,
                    const sys::Clock& clock, std::optional<int> target) {
  int wanted = target.value_or(static_cast<int>(migrations.size()));
  CORRAL_CHECK(check_numbers(migrations, wanted));
  CORRAL_TRY(Borrowed connection, database.borrow());
  int steps = 0;
  for (;; ++steps) {
    auto more = step(*connection, migrations, wanted, clock);
    if (!more) {
      Error error = std::move(more).error();
      if (error.code == ErrorCode::conflict) return error;
      error.message = fmt::format("cannot bring {} to version {}: {}", database.display(), wanted,
                                  error.message);
      return error;
    }
    if (!*more) return steps;
  }
}

Result<std::vector<AppliedMigration>> applied_migrations(Database& database) {
  CORRAL_TRY(Borrowed connection, database.borrow());
  CORRAL_TRY(Rows found, connection->run(has_table_query(database.dialect()), {"migrations"}));
  if (found.empty()) return std::vector<AppliedMigration>();
  return read_applied(*connection);
}

}  // namespace corral::store

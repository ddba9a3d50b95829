#include "store/sqlite_errors.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

namespace corral::store {
namespace {

Error constraint(int code) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return fail(ErrorCode::conflict, "there is one with that key already");
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return fail(ErrorCode::conflict,
                  "something that this refers to, or that refers to it, "
                  "forbids the change");
    default: return fail(ErrorCode::invalid_argument, "the database's checks refuse a value");
  }
}

Error file_trouble(int code, const std::string& path) {
  std::string name = "the database '" + path + "'";
  switch (code & 0xff) {
    case SQLITE_READONLY:
      return fail(ErrorCode::io, name + " is read-only")
          .hint("give this user the right to write the file and its folder");
    case SQLITE_FULL:
      return fail(ErrorCode::io, "no space left for " + name).hint("free some space on that disk");
    case SQLITE_CORRUPT:
      return fail(ErrorCode::io, name + " is damaged")
          .hint(
              "stop the server and restore the file from a backup, or save what is left with "
              "sqlite3's .recover");
    case SQLITE_NOTADB:
      return fail(ErrorCode::io, "'" + path + "' is not an SQLite database")
          .hint("name another file, or restore this one from a backup");
    case SQLITE_CANTOPEN:
      return fail(ErrorCode::io, "cannot open " + name)
          .hint("its folder must exist, and this user must have the right to write there");
    default:
      return fail(ErrorCode::io, "cannot read or write " + name)
          .hint("look at the system's log for errors of that disk");
  }
}

Error classify(int code, const std::string& path) {
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return constraint(code);
    case SQLITE_MISMATCH: return fail(ErrorCode::invalid_argument, "a value has the wrong type");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(ErrorCode::unavailable, "the database is locked by another writer")
          .after(std::chrono::seconds(1));
    case SQLITE_TOOBIG: return fail(ErrorCode::too_large, "a value is too large for the database");
    case SQLITE_INTERRUPT: return fail(ErrorCode::cancelled, "the statement was interrupted");
    case SQLITE_NOMEM:
      return fail(ErrorCode::unavailable, "no memory left for the database")
          .after(std::chrono::seconds(1));
    case SQLITE_READONLY:
    case SQLITE_FULL:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_AUTH: return file_trouble(code, path);
    default: return fail(ErrorCode::internal, "the database does not understand a statement");
  }
}

}  // namespace

Error sqlite_error(sqlite3* db, int code, const std::string& path) {
  const char* text = db != nullptr ? ::sqlite3_errmsg(db) : ::sqlite3_errstr(code);
  return classify(code, path).because(fmt::format("SQLite {}: {}", code, text));
}

}  // namespace corral::store

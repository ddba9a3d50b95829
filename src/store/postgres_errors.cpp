#include "store/postgres_errors.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace corral::store {
namespace {

constexpr std::chrono::seconds kSoon{1};

Error by_class(std::string_view kind) {
  if (kind == "08" || kind == "57")
    return fail(ErrorCode::unavailable, "the connection to PostgreSQL is lost").after(kSoon);
  if (kind == "22" || kind == "23")
    return fail(ErrorCode::invalid_argument, "the database's checks refuse a value");
  if (kind == "40")
    return fail(ErrorCode::unavailable, "another transaction was in the way").after(kSoon);
  if (kind == "53")
    return fail(ErrorCode::unavailable, "PostgreSQL has no room for more connections or memory")
        .after(kSoon);
  if (kind == "54") return fail(ErrorCode::too_large, "a value is too large for the database");
  if (kind == "28")
    return fail(ErrorCode::unauthenticated, "PostgreSQL refuses this user or password");
  if (kind == "58" || kind == "XX")
    return fail(ErrorCode::io, "PostgreSQL cannot read or write its files")
        .hint("look at PostgreSQL's own log");
  return fail(ErrorCode::internal, "the database does not understand a statement");
}

Error classify(std::string_view state) {
  if (state == "23505") return fail(ErrorCode::conflict, "there is one with that key already");
  if (state == "23503")
    return fail(ErrorCode::conflict,
                "something that this refers to, or that refers to it, "
                "forbids the change");
  if (state == "08P01")
    return fail(ErrorCode::internal, "the statement takes another number of parameters");
  if (state == "25006")
    return fail(ErrorCode::io, "the database is read-only")
        .hint("connect to the primary server (target_session_attrs=read-write)");
  if (state == "42501")
    return fail(ErrorCode::forbidden, "this user of PostgreSQL has not the right to do that")
        .hint("make it the owner of the database");
  if (state == "53100")
    return fail(ErrorCode::io, "no space left for PostgreSQL's files")
        .hint("free some space on its disk");
  if (state == "55P03")
    return fail(ErrorCode::unavailable, "the database is locked by another writer").after(kSoon);
  if (state == "57014") return fail(ErrorCode::timeout, "PostgreSQL took too long for a statement");
  if (state == "XX001" || state == "XX002")
    return fail(ErrorCode::io, "PostgreSQL's files are damaged")
        .hint("restore the database from a backup");
  return by_class(state.substr(0, 2));
}

std::string one_line(std::string_view text) {
  std::string line(trim(text));
  for (char& c : line)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  return line;
}

}  // namespace

Error postgres_error(std::string_view state, std::string_view text) {
  return classify(state).because(fmt::format("PostgreSQL {}: {}", state, one_line(text)));
}

Error postgres_lost(std::string_view text) {
  return fail(ErrorCode::unavailable, "the connection to PostgreSQL is lost")
      .after(kSoon)
      .because(one_line(text));
}

}  // namespace corral::store

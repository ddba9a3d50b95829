// Where the database is: `sqlite:PATH`, a plain path, or
// `postgresql://user:pw@host:port/name`.
//
// The password never leaves this type in a message: `display()` leaves it out, and errors of
// parsing name the part that is wrong, not its content.
// Thread rule: plain values.
// Example: CORRAL_TRY(auto url, DatabaseUrl::parse("postgresql://corral@db.local/corral"));
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "store/dialect.hpp"

namespace corral::store {

struct DatabaseUrl {
  Dialect dialect = Dialect::sqlite;
  std::string path;  // SQLite: the file

  // PostgreSQL: libpq's connection keywords (host, port, user, password, dbname, sslmode, ...).
  std::map<std::string, std::string> keywords;

  // invalid_argument for another scheme, a missing part, bad percent-encoding or an unknown option.
  // Options after `?`: host (a unix socket's folder), port, sslmode, sslrootcert, sslcert, sslkey,
  // application_name, target_session_attrs, channel_binding.
  static Result<DatabaseUrl> parse(std::string_view text);

  std::string display() const;  // for messages: without the password
};

}  // namespace corral::store

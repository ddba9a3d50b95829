// SQLite's result codes as our errors.
#pragma once

#include <string>

#include "base/error.hpp"

struct sqlite3;

namespace corral::store {

// `code` is the extended result code that a call on `db` just gave; `db` may be null. `path` names
// the database for the person who reads the error.
Error sqlite_error(sqlite3* db, int code, const std::string& path);

}  // namespace corral::store

// Values as PostgreSQL sends and takes them: texts, but for the bytes that it takes as they are.
// Internal to the module.
#pragma once

#include <string>
#include <string_view>

#include "store/value.hpp"

namespace corral::store {

using PostgresType = unsigned int;  // object id of the type, fixed in PostgreSQL's catalog

PostgresType postgres_type(const Value& value);  // 0 for NULL: the server finds it out
std::string to_postgres(const Value& value);
// Types that are neither numbers, truth values nor bytes come as text.
Value from_postgres(PostgresType type, std::string_view text);

}  // namespace corral::store

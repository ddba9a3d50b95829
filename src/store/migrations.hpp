// The structure of the database, step by step, forwards and back.
//
// Each migration has a number, a name, a script to go up and one to go down, in the words of
// store/dialect.hpp. What was applied is recorded in the table `migrations` with a checksum of its
// texts, in the same transaction as the change itself, so a step is there whole or not at all. Of
// several processes that start at once one applies a step while the others wait, then find it done.
//
// A published migration is never edited; the next one mends it. Its way down keeps whatever the
// older structure can hold.
//
// Thread rule: free functions; thread-safe. They block.
// Example: CORRAL_TRY(int applied, migrate(*database, schema_migrations(), clock));
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::store {

struct Migration {
  int number;  // 1, 2, 3, ... without gaps
  std::string_view name;
  std::string_view up;
  std::string_view down;
};

// Those of this program, in store/schema.cpp.
std::span<const Migration> schema_migrations();

// Of name, up and down: 64 hexadecimal digits (SHA-256).
std::string checksum(const Migration& migration);

// Goes up or down to `target` (the newest when not given; 0 is an empty database) and says how many
// steps that took. Refused with `conflict`, and nothing changed: the database is newer than
// `migrations`, or one that was applied reads otherwise now.
Result<int> migrate(Database& database, std::span<const Migration> migrations,
                    const sys::Clock& clock, std::optional<int> target = std::nullopt);

struct AppliedMigration {
  int number = 0;
  std::string name;
  std::string checksum;
  sys::Wall applied;
};
// In their order; none for a database without the table.
Result<std::vector<AppliedMigration>> applied_migrations(Database& database);

}  // namespace corral::store

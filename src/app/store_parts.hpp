// The database and what stands on it, opened before anything else is made.
// Thread rule: made on the main thread; its parts are thread-safe.
#pragma once

#include <memory>
#include <optional>

#include "config/settings.hpp"
#include "store/database.hpp"
#include "store/redis_url.hpp"
#include "store/resources.hpp"
#include "store/sealer.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::app {

struct StoreParts {
  std::unique_ptr<store::Database> database;
  std::unique_ptr<store::Resources> resources;
  std::unique_ptr<store::Sealer> sealer;
  std::string machine;                    // see models/machine_id.hpp
  std::optional<store::RedisUrl> shared;  // where processes share what they keep
};

// Brings the database's structure up to date. The key that seals secrets and the machine's id lie
// in the data folder.
Result<StoreParts> open_store(const config::Settings& settings, sys::Files& files,
                              const sys::Clock& clock);

}  // namespace corral::app

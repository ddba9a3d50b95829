#include "app/store_parts.hpp"

#include "models/machine_id.hpp"
#include "store/migrations.hpp"

namespace corral::app {

Result<StoreParts> open_store(const config::Settings& settings, sys::Files& files,
                              const sys::Clock& clock) {
  StoreParts parts;
  if (!settings.shared.url.empty()) {
    CORRAL_TRY(parts.shared, store::RedisUrl::parse(settings.shared.url.value));
  }
  sys::Path folder(settings.data_dir);
  std::string url = settings.store.url.value;
  if (url.empty()) url = "sqlite:" + (folder / "corral.db").string();
  store::DatabaseOptions options;
  options.url = std::move(url);
  CORRAL_TRY(parts.database, store::Database::open(options));
  CORRAL_TRY(auto steps, store::migrate(*parts.database, store::schema_migrations(), clock));
  (void)steps;
  CORRAL_TRY(parts.machine, models::machine_id(files, folder));
  parts.resources = std::make_unique<store::Resources>(*parts.database, clock);
  CORRAL_TRY(parts.sealer, store::Sealer::open(files, folder / "secrets.key"));
  return parts;
}

}  // namespace corral::app

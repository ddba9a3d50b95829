#include "app/model_parts.hpp"

namespace corral::app {
namespace {

constexpr std::chrono::seconds kNoteUsage{5};
constexpr std::chrono::minutes kCollect{10};

}  // namespace

ModelParts::ModelParts(const config::Settings& settings, store::Database& database,
                       const std::string& machine, sys::Files& files, const sys::Clock& clock,
                       telemetry::Logger log)
    : log_(std::move(log)),
      large_files_(sys::real_large_files()),
      blobs_(files, *large_files_, sys::Path(settings.data_dir) / "blobs",
             settings.downloads.keep_free),
      catalog_({database, clock, files, blobs_, machine}),
      index_(database, clock, machine),
      served_({catalog_, index_, files, blobs_}),
      history_(database, clock),
      machines_(database, clock, machine),
      forget_machines_(settings.models.forget_machines) {}

Result<void> ModelParts::open() {
  CORRAL_CHECK(blobs_.open());
  CORRAL_CHECK(machines_.note());
  CORRAL_CHECK(catalog_.claim_files());
  return catalog_.tell_damaged();
}

void ModelParts::reload(const config::Settings& settings) {
  forget_machines_ = settings.models.forget_machines;
}

void ModelParts::keep(net::Shards& shards, net::BlockingPool& pool, api::Api& api) {
  shards.control().every(kNoteUsage, [this, &shards, &pool, &api] {
    shards.post_all([this, &pool, &api](net::Shard&) {
      auto uses = api.take_usage();
      if (!uses.empty()) pool.post([this, uses = std::move(uses)] { note(uses); });
    });
  });
  shards.control().every(kCollect, [this, &pool] { pool.post([this] { collect(); }); });
}

net::Task<void> ModelParts::note_last_usage(net::Shards& shards, net::BlockingPool& pool,
                                            api::Api& api) {
  using Uses = std::vector<models::ModelUse>;
  Uses all;
  for (std::size_t i = 0; i < shards.serving_count(); ++i) {
    std::function<Uses()> take = [&api] { return api.take_usage(); };
    Uses some = co_await net::call_on(shards.serving(i), std::move(take));
    all.insert(all.end(), some.begin(), some.end());
  }
  std::function<bool()> work = [this, all] {
    note(all);
    return true;
  };
  co_await net::run_blocking<bool>(pool, std::move(work));
}

void ModelParts::note(const std::vector<models::ModelUse>& uses) {
  auto noted = history_.note(uses);
  if (!noted) log_.warn("usage could not be noted", {{"error", noted.error().describe()}});
}

void ModelParts::collect_machines() {
  auto noted = machines_.note();
  if (!noted) {
    log_.warn("it could not be noted that this machine is here",
              {{"error", noted.error().describe()}});
    return;
  }
  const auto away = forget_machines_.load();
  if (away.count() == 0) return;
  auto gone = machines_.collect(away);
  if (!gone) {
    log_.warn("machines that are gone could not be looked for",
              {{"error", gone.error().describe()}});
  } else if (*gone > 0) {
    log_.info("what was kept of machines that are gone is forgotten", {{"machines", *gone}});
  }
}

void ModelParts::collect() {
  collect_machines();
  auto collected = catalog_.collect(models::Catalog::kGrace);
  if (!collected) {
    log_.warn("unused files could not be looked for", {{"error", collected.error().describe()}});
    return;
  }
  if (collected->removed > 0) {
    log_.info("unused files of models removed",
              {{"files", collected->removed}, {"bytes", collected->bytes}});
  }
  for (const auto& problem : collected->problems) {
    log_.warn("an unused file cannot be removed", {{"error", problem}});
  }
  auto forgotten = history_.forget_old();
  if (!forgotten) log_.warn("old usage stays", {{"error", forgotten.error().describe()}});
}

}  // namespace corral::app

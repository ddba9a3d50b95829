#include "app/pull_parts.hpp"

namespace corral::app {
namespace {

constexpr std::size_t kPullThreads = 4;

// The bytes of downloads go through a serving shard: control decides, and must stay prompt.
net::Shard& shard_of(net::Shards& shards) {
  return shards.serving_count() == 0 ? shards.control()
                                     : shards.serving(shards.serving_count() - 1);
}

}  // namespace

PullService::PullService(net::Shards& shards, ModelParts& models, sys::Files& files,
                         const sys::Clock& clock, telemetry::Logger log)
    : log_(log),
      pool_(kPullThreads),
      pulls_({shard_of(shards), pool_, models.blobs(), files, clock, std::move(log),
              [&models](const models::ModelVersion& version) -> Result<void> {
                CORRAL_TRY(auto model, models.catalog().put(version));
                (void)model;
                return {};
              }}),
      pull_admin_(pulls_) {}

void PullService::add_routes(api::Router& router, api::admin::Operations& operations) {
  operations.add_source(pull_admin_);
  operation_admin_ = std::make_unique<api::admin::OperationAdmin>(operations);
  operation_admin_->add_routes(router);
  pull_admin_.add_routes(router);
}

net::Task<Result<void>> PullService::start(std::shared_ptr<const config::Settings> settings) {
  return pulls_.start(std::move(settings));
}

net::Task<void> PullService::reload(std::shared_ptr<const config::Settings> settings) {
  auto done = co_await pulls_.reload(std::move(settings));
  if (!done) {
    log_.error("the sources of models stay as they were", {{"error", done.error().describe()}});
  }
}

net::Task<void> PullService::stop() { return pulls_.stop(); }

}  // namespace corral::app

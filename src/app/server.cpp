#include "app/server.hpp"

#include <fmt/core.h>
#include <array>
#include <bit>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/application.hpp"
#include "base/bug.hpp"
#include "base/text.hpp"
#include "cli/config_source.hpp"
#include "scheduler/routed_models.hpp"
#include "sys/host.hpp"
#include "sys/random.hpp"

namespace corral::app {
namespace {

constexpr std::size_t kPoolThreads = 2;
constexpr std::chrono::milliseconds kFlush{200};
constexpr std::chrono::milliseconds kQueueTick{50};
constexpr std::chrono::seconds kMeasure{1};
constexpr std::chrono::seconds kOutliers{10};

std::size_t shard_count(const config::Settings& settings) {
  return settings.server.threads != 0 ? settings.server.threads : sys::host_facts().logical_cpus;
}

net::HttpServerOptions http_options(const config::ServerSettings& s) {
  net::HttpServerOptions options;
  options.max_header_bytes = s.max_header_bytes;
  options.max_body_bytes = s.max_body_bytes;
  options.max_connections = s.max_connections;
  options.header_timeout = s.header_timeout;
  options.body_timeout = s.body_timeout;
  options.min_body_rate = s.min_body_rate;
  options.idle_timeout = s.idle_timeout;
  options.write_timeout = s.write_timeout;
  options.compression = s.compression;
  return options;
}

sys::Path cache_folder() {
  auto folders = sys::user_folders();
  return folders ? folders->cache : sys::Path{};
}

std::shared_ptr<const api::CallerRules> caller_rules(const config::GatewaySettings& s) {
  return std::make_shared<const api::CallerRules>(
      api::CallerRules{s.default_priority, s.max_priority});
}

std::uint64_t random_seed() {
  std::array<unsigned char, sizeof(std::uint64_t)> bytes;
  sys::fill_random(bytes);
  return std::bit_cast<std::uint64_t>(bytes);
}

std::string url_of(const net::BoundAddress& address, bool tls) {
  bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", tls ? "https" : "http", v6 ? "[" : "", address.host,
                     v6 ? "]" : "", address.port);
}

}  // namespace

Server::Server(cli::ServeOptions options, std::shared_ptr<const config::Settings> settings,
               std::shared_ptr<telemetry::SpdlogSink> sink, sys::Files& files, StoreParts store,
               std::chrono::steady_clock::time_point begun)
    : options_(std::move(options)),
      settings_(std::move(settings)),
      sink_(std::move(sink)),
      log_(sink_, "app"),
      files_(files),
      begun_(begun),
      processes_(sys::real_processes()),
      engine_limits_(sys::real_resource_limits()),
      shards_(shard_count(*settings_)),
      caller_rules_(shards_, caller_rules(settings_->gateway)),
      store_(std::move(store)),
      models_(*settings_, *store_.database, store_.machine, files_, clock_, log_.named("models")),
      pool_(kPoolThreads),
      pulls_(shards_, models_, files_, clock_, log_.named("pulls")) {
  make_gateway();
  api_ = std::make_unique<api::Api>(shards_, log_.named("access"), metrics_,
                                    std::make_shared<const api::Gate>(settings_->server),
                                    settings_->log.access);
  http_ = std::make_unique<net::HttpServer>(
      shards_, http_options(settings_->server),
      [api = api_.get()](net::HttpExchange& exchange) { return api->handle(exchange); },
      [api = api_.get()](const net::HttpRequest& request, const net::HttpOutcome& outcome) {
        api->observe(request, outcome);
      });
  make_surfaces();
  tasks_ = std::make_unique<net::TaskGroup>(shards_.control());
  install_metrics();
}

// The scheduler finds local models, the registry remote endpoints; routes lead to both.
void Server::make_gateway() {
  auto poke = [this] { dispatcher_->poke(); };
  scheduler::SchedulerParts parts{
      shards_,     pool_,     log_.named("scheduler"), metrics_, clock_, files_,
      *processes_, bindings_, cache_folder(),          poke,     {}};
  parts.local_models = [this](std::vector<gateway::LocalModel> models) {
    routes_->set_local_models(std::move(models));
  };
  parts.waiting = [this](const std::string& model) {
    auto match = dispatcher_->routing()->find(model);
    return match.route == nullptr ? 0 : match.route->state->queue().waiting();
  };
  parts.queue_wait = [this](const std::string& model) -> std::optional<std::chrono::milliseconds> {
    auto match = dispatcher_->routing()->find(model);
    if (match.route == nullptr) return std::nullopt;
    return match.route->state->wait_of_newcomer(std::chrono::steady_clock::now());
  };
  parts.demand = [this] { return api_->take_demand(); };
  parts.model_index = &models_.index();
  parts.served_models = &models_.served();
  parts.limits = engine_limits_.get();
  scheduler_ = std::make_unique<scheduler::Scheduler>(std::move(parts), settings_);
  models_.catalog().on_change([this] { scheduler_->refresh_models(); });
  dispatcher_ = std::make_unique<gateway::Dispatcher>(shards_, *scheduler_);
  gateway::RegistryParts registry{shards_.control(), bindings_, log_.named("gateway"), poke, {}};
  registry.breaker_changed = [this](const std::string& endpoint, const std::string& model,
                                    const gateway::BreakerTransition& change) {
    gateway_metrics_->breaker_changed(endpoint, model, change);
    bool ours = endpoint == config::kLocalEndpoint;
    if (ours && change.to == gateway::BreakerState::open) scheduler_->restart(model);
  };
  registry_ = std::make_unique<gateway::EndpointRegistry>(std::move(registry));
  learned_ = std::make_unique<gateway::WorkKeeper>(
      gateway::WorkKeeperParts{*registry_,
                               {*store_.database, clock_, store_.machine},
                               shards_.control(),
                               pool_,
                               log_.named("gateway")});
  routes_ = std::make_unique<gateway::RouteControl>(gateway::RouteControlParts{
      shards_, pool_, log_.named("gateway"), *dispatcher_, *registry_, *store_.resources,
      *store_.sealer, [this](const gateway::RouteTable& table) {
        scheduler_->set_routed(scheduler::routed_models(table, facts_.started));
        std::vector<scheduler::MemoryLease> leases;
        for (const auto& endpoint : registry_->view()) {
          const auto& wanted = endpoint.settings;
          if (!wanted.device.empty() && wanted.memory > 0) {
            leases.push_back({wanted.device, wanted.memory});
          }
        }
        scheduler_->set_leases(std::move(leases));
      }});
  containers_ = std::make_unique<ContainerService>(shards_, clock_, log_.named("containers"),
                                                   metrics_, *routes_);
  gateway_metrics_ = std::make_unique<gateway::GatewayMetrics>(metrics_, *dispatcher_, *registry_);
  outliers_ = std::make_unique<gateway::OutlierWatch>(*registry_);
  gateway::AnswerStore::Options kept;
  kept.cache_bytes = settings_->gateway.cache_bytes;
  kept.seed = random_seed();
  if (store_.shared) {
    store::RedisOptions redis;
    redis.url = *store_.shared;
    shared_answers_ = std::make_unique<gateway::RedisAnswers>(shards_, redis, metrics_,
                                                              log_.named("gateway"), clock_);
  }
  answers_ = std::make_unique<gateway::AnswerStore>(kept, metrics_, shared_answers_.get());
}

void Server::make_surfaces() {
  openai_ = std::make_unique<api::openai::OpenAiSurface>(*dispatcher_, *scheduler_, caller_rules_);
  openai_->keep_answers(shards_, *answers_);
  openai_->join_embeddings(shards_, metrics_, settings_->gateway.embedding_batch, random_seed());
  facts_.version = kVersion;
  facts_.started = clock_.wall();
  admin_ = std::make_unique<api::admin::AdminSurface>(*scheduler_, facts_, shards_.control());
  route_admin_ = std::make_unique<api::admin::RouteAdmin>(*routes_, *dispatcher_);
  model_admin_ = std::make_unique<api::admin::ModelAdmin>(api::admin::ModelAdminParts{
      models_.catalog(), models_.index(), models_.history(), models_.blobs(), files_, pool_,
      *scheduler_, admin_->running(), log_.named("models")});
  sources_ = std::make_unique<SourceService>(
      SourceService::Parts{shards_, models_, pulls_.pulls(), *scheduler_, files_, clock_, log_});
  ops_ = std::make_unique<api::ops::OpsSurface>(api::ops::OpsParts{
      *api_, *scheduler_, metrics_, pool_, kVersion, ready_, draining_,
      [this] { return http_->connections(); }, [this] { return http_->requests_in_flight(); }});
  benches_ = std::make_unique<BenchService>(shards_, pool_, *scheduler_, models_, *store_.database,
                                            clock_, log_.named("benchmarks"));
  openai_->add_routes(api_->router());
  admin_->add_routes(api_->router());
  route_admin_->add_routes(api_->router());
  model_admin_->add_routes(api_->router());
  sources_->add_routes(api_->router());
  pulls_.add_routes(api_->router(), admin_->running());
  benches_->add_routes(api_->router(), admin_->running());
  containers_->add_routes(api_->router(), admin_->running());
  ops_->add_routes(api_->router());
  if (settings_->server.web_root.empty()) {
    ops_->add_root(api_->router());
  } else {
    static_files_ = std::make_unique<net::StaticFiles>(settings_->server.web_root, pool_);
    api_->set_fallback([files = static_files_.get()](api::Call& call) {
      return files->serve(call.exchange, std::string(call.request().path));
    });
  }
}

Server::~Server() = default;

void Server::install_metrics() {
  metrics_
      .gauge("corral_build_info", "Always 1; the labels say which build this is.",
             {{"version", kVersion}})
      .set(1);
  auto resident = metrics_.gauge("corral_resident_bytes", "Memory of this process.");
  auto cpu = metrics_.gauge("corral_cpu_seconds", "Processor time of this process.");
  auto files = metrics_.gauge("corral_open_files", "Open file descriptors.");
  auto connections = metrics_.gauge("corral_connections", "Open client connections.");
  auto lost = metrics_.gauge("corral_log_records_lost", "Log records that could not be written.");
  auto bugs = metrics_.gauge("corral_bugs", "States that cannot happen, but did.");
  metrics_.on_collect([this, resident, cpu, files, connections, lost, bugs] {
    auto usage = sys::self_usage();
    resident.set(static_cast<double>(usage.resident_bytes));
    cpu.set(usage.cpu_seconds);
    files.set(usage.open_files);
    connections.set(static_cast<double>(http_->connections()));
    lost.set(static_cast<double>(sink_->lost()));
    bugs.set(static_cast<double>(bugs_seen()));
  });
}

Result<void> Server::listen() {
  const auto& server = settings_->server;
  std::shared_ptr<net::TlsContext> tls;
  if (!server.tls_certificate.empty()) {
    CORRAL_TRY(tls, net::TlsContext::server({server.tls_certificate, server.tls_key}));
  }
  for (const auto& wanted : server.listen) {
    auto bound = http_->listen(wanted.host, wanted.port, tls);
    if (bound) {
      facts_.listeners.push_back(url_of(*bound, tls != nullptr));
    } else if (wanted.required) {
      return std::unexpected(std::move(bound).error());
    } else {
      log_.warn("not listening there; clients that expect this port will not find Corral",
                {{"address", config::to_string(wanted)}, {"error", bound.error().describe()}});
    }
  }
  if (facts_.listeners.empty()) {
    return fail(ErrorCode::conflict, "no address could be listened on")
        .hint("name a free one: corral serve --listen 127.0.0.1:0");
  }
  return {};
}

void Server::announce() const {
  auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun_);
  log_.info(
      "ready",
      {{"version", kVersion}, {"ms", took.count()}, {"listeners", join(facts_.listeners, " ")}});
  for (const auto& url : facts_.listeners) fmt::print("listening on {}\n", url);
  std::fflush(stdout);
}

int Server::run() {
  tasks_->spawn(main_task());
  signals_ = std::make_unique<net::SignalWatch>(shards_.control(),
                                                std::vector<int>{SIGINT, SIGTERM, SIGHUP},
                                                [this](int number) { on_signal(number); });
  shards_.control().every(kFlush, [this] { sink_->flush(); });
  shards_.control().every(kQueueTick, [this] { dispatcher_->tick(); });
  shards_.control().every(kOutliers, [this] { outliers_->look(*dispatcher_->routing()); });
  shards_.control().every(kMeasure, [this] {
    gateway_metrics_->update();
    answers_->tick();
  });
  models_.keep(shards_, pool_, *api_);
  shards_.start();
  shards_.run_control();
  shards_.join();
  sink_->flush();
  return exit_code_;
}

net::Task<void> Server::main_task() {
  auto started = models_.open();
  co_await learned_->recall();
  if (started) started = co_await routes_->start(settings_);
  if (started) started = co_await benches_->start();
  if (started) started = co_await scheduler_->start();
  if (started) started = co_await pulls_.start(settings_);
  starting_ = false;
  if (draining_) {
    co_await shut_down();
    co_return;
  }
  if (!started) {
    log_.error("cannot start", {{"error", started.error().describe()}});
    fmt::print(stderr, "error: {}\n", started.error().describe());
    exit_code_ = 1;
    shards_.stop();
    co_return;
  }
  if (shared_answers_) shared_answers_->start();
  containers_->apply(*settings_);
  learned_->start();
  sources_->start(settings_);
  http_->start();
  ready_ = true;
  announce();
}

void Server::on_signal(int number) {
  if (number == SIGHUP) {
    reload();
    return;
  }
  if (draining_.exchange(true)) {
    log_.warn("second signal: ending at once");
    sink_->flush();
    std::_Exit(130);
  }
  log_.info("shutting down; a second signal ends at once", {{"signal", number}});
  // What is being started cannot be stopped midway; main_task shuts it down when it is done.
  if (!starting_) tasks_->spawn(shut_down());
}

net::Task<void> Server::shut_down() {
  http_->drain();
  std::size_t cut = co_await http_->stop(settings_->server.shutdown_grace);
  if (cut > 0) log_.warn("requests did not finish in time and were cut", {{"requests", cut}});
  co_await sources_->stop();
  co_await openai_->stop();
  if (shared_answers_) co_await shared_answers_->stop();
  co_await pulls_.stop();
  co_await benches_->stop();
  co_await admin_->stop();
  co_await containers_->stop();
  co_await registry_->stop();
  co_await routes_->stop();
  co_await scheduler_->stop();
  co_await learned_->stop();
  co_await models_.note_last_usage(shards_, pool_, *api_);
  log_.info("stopped");
  shards_.stop();
}

void Server::reload() {
  auto sources = cli::config_sources(options_, files_, sys::environment_without({}));
  auto loaded = sources ? config::load(*sources) : std::unexpected(sources.error());
  auto reopened = sink_->reopen();
  if (!reopened) {
    log_.error("cannot open the log file again", {{"error", reopened.error().describe()}});
  }
  if (!loaded) {
    log_.error("the new configuration is wrong; the old one stays",
               {{"error", loaded.error().describe()}});
    return;
  }
  auto fresh = std::make_shared<config::Settings>(std::move(loaded->settings));
  if (fresh->data_dir.empty()) fresh->data_dir = settings_->data_dir;
  auto changes = config::diff(*settings_, *fresh);
  for (const auto& change : changes) {
    log_.info(change.needs_restart ? "changed; takes effect at the next start" : "changed",
              {{"property", change.path}});
  }
  if (auto level = telemetry::parse_log_level(fresh->log.level)) sink_->set_level(*level);
  settings_ = fresh;
  api_->replace_gate(std::make_shared<const api::Gate>(settings_->server));
  api_->set_log_access(settings_->log.access);
  caller_rules_.publish(caller_rules(settings_->gateway));
  answers_->set_limit(settings_->gateway.cache_bytes);
  openai_->set_embedding_window(settings_->gateway.embedding_batch);
  models_.reload(*settings_);
  scheduler_->reload(settings_);
  routes_->reload(settings_);
  containers_->apply(*settings_);
  tasks_->spawn(pulls_.reload(settings_));
  sources_->reload(settings_);
  log_.info("configuration reloaded", {{"changes", changes.size()}});
}

}  // namespace corral::app

// The API as a client sees it: a real server on a loopback port, a real scheduler and gateway, a
// store of its own, and a backend that answers what it was told to. For the tests of api.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/admin/admin_surface.hpp"
#include "api/admin/route_admin.hpp"
#include "api/api.hpp"
#include "api/openai/openai_surface.hpp"
#include "api/ops/ops_surface.hpp"
#include "base/json.hpp"
#include "gateway/route_control.hpp"
#include "scheduler/routed_models.hpp"
#include "scheduler/tests/world.hpp"
#include "store/migrations.hpp"

namespace corral::api {

using namespace std::chrono_literals;
using net::testing::body_of;
using net::testing::eventually;
using net::testing::RawClient;
using net::testing::status_of;

// Answers with a status and pieces, each sent by itself; cuts the connection when told to.
class Backend {
 public:
  struct Script {
    int status = 200;
    std::string type = "text/event-stream";
    std::vector<std::string> pieces;
    bool cut = false;
    std::chrono::milliseconds pause{1};  // after each piece
  };

  explicit Backend(net::testing::Loops& loops)
      : loops_(loops),
        server_(
            loops.shards(), {},
            [this](net::HttpExchange& exchange) { return serve(this, exchange); },
            [](const net::HttpRequest&, const net::HttpOutcome&) {}) {
    auto bound = server_.listen("127.0.0.1", 0);
    EXPECT_TRUE(bound);
    url = "http://127.0.0.1:" + std::to_string(bound->port);
    server_.start();
  }
  ~Backend() { loops_.run(loops_.shards().control(), server_.stop(0ms)); }

  void play(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  std::string body() const {
    std::lock_guard lock(mutex_);
    return body_;
  }

  // Of the last request; empty: there was none.
  std::string header(std::string_view name) const {
    std::lock_guard lock(mutex_);
    auto value = headers_.get(name);
    return value ? std::string(*value) : std::string();
  }

  std::string url;

 private:
  static net::Task<void> serve(Backend* backend, net::HttpExchange& exchange) {
    auto body = co_await exchange.read_body();
    if (!body) co_return;
    Script script;
    {
      std::lock_guard lock(backend->mutex_);
      backend->body_ = *body;
      backend->headers_ = exchange.request().headers;
      script = backend->script_;
    }
    if (script.type != "text/event-stream") {
      net::HttpReply reply;
      reply.status = script.status;
      reply.content_type = script.type;
      for (const auto& piece : script.pieces) reply.body += piece;
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    if (!exchange.begin(script.status, script.type)) co_return;
    auto head = co_await exchange.flush_head();
    if (!head) co_return;
    for (const auto& piece : script.pieces) {
      std::string_view parts[] = {piece};
      auto sent = co_await exchange.send(parts);
      if (!sent) co_return;
      auto slept = co_await net::sleep_for(script.pause);
      if (!slept) co_return;
    }
    if (script.cut)
      exchange.abort();
    else
      (void)co_await exchange.finish();
  }

  net::testing::Loops& loops_;
  mutable std::mutex mutex_;
  Script script_;
  std::string body_;
  net::Headers headers_;
  net::HttpServer server_;
};

class ApiTest : public testing::Test {
 protected:
  ApiTest() : backend_(std::make_unique<Backend>(world_.loops)) {
    world_.put_model("tiny");
    world_.settings.gateway.health.probe_interval = 0ms;
    add_endpoint("far", backend_->url, {"remote=backend-name"});
    add_endpoint("llama", backend_->url, {"local"}, "llamacpp");
    add_endpoint("dead", "http://127.0.0.1:1", {"dead"});
    world_.settings.models.settings["remote"].aliases = {"gpt-4o"};
  }
  ~ApiTest() override {
    auto& control = world_.loops.shards().control();
    if (server_) {
      draining_ = true;
      world_.loops.run(control, server_->stop(0ms));
      world_.loops.run(control, registry_->stop());
      world_.loops.run(control, routes_->stop());
    }
    backend_.reset();
    world_.end();
  }

  void add_endpoint(const std::string& name, const std::string& url,
                    std::vector<std::string> models, const std::string& binding = "openai") {
    config::EndpointSettings endpoint;
    endpoint.name = name;
    endpoint.binding = binding;
    endpoint.url = url;
    endpoint.models = std::move(models);
    world_.settings.endpoints.push_back(std::move(endpoint));
  }

  // Change `gate_`, `rules_` and the settings before this.
  void start(std::chrono::milliseconds total = 30s) {
    world_.settings.gateway.total_timeout = total;
    open_store();
    before_scheduler();
    make_gateway();
    make_surfaces();
    more_surfaces();
    serve();
  }
  // For what a test needs besides: the store is open; the surfaces are made.
  virtual void before_scheduler() {}
  virtual void more_surfaces() {}

  // A whole answer, on a connection of its own.
  std::string request(std::string_view method, std::string_view path, std::string_view body = "",
                      std::string_view headers = "Host: localhost\r\n") {
    RawClient client(port_);
    client.send(fmt::format("{} {} HTTP/1.1\r\n{}Connection: close\r\nContent-Length: {}\r\n\r\n{}",
                            method, path, headers, body.size(), body));
    return client.read_all(20s);
  }
  std::string get(std::string_view path) { return request("GET", path); }
  std::string chat(std::string_view model, std::string_view more = "",
                   std::string_view headers = "Host: localhost\r\n") {
    return request("POST", "/v1/chat/completions",
                   fmt::format(R"({{"model":"{}","messages":[{{"role":"user","content":"x"}}]{}}})",
                               model, more),
                   headers);
  }
  std::string stream(std::string_view model) { return chat(model, R"(,"stream":true)"); }
  // The line appears once the server is done with the exchange.
  std::string access_line(std::string_view part) {
    EXPECT_TRUE(eventually([&] { return world_.log->has(part); }));
    return world_.log->find(part);
  }
  bool metric(std::string_view line) {
    return eventually([&] { return world_.metrics.expose().contains(line); });
  }

  scheduler::World world_;
  std::unique_ptr<Backend> backend_;
  config::ServerSettings gate_;
  CallerRules rules_;
  net::BlockingPool pool_{1};
  std::atomic<bool> ready_ = true;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<store::Resources> resources_;
  std::unique_ptr<store::Sealer> sealer_;
  std::unique_ptr<net::Snapshot<CallerRules>> caller_rules_;
  std::unique_ptr<gateway::Dispatcher> dispatcher_;
  std::unique_ptr<gateway::EndpointRegistry> registry_;
  std::unique_ptr<gateway::RouteControl> routes_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<openai::OpenAiSurface> openai_;
  admin::ServerFacts facts_;
  std::unique_ptr<admin::AdminSurface> admin_;
  std::unique_ptr<admin::RouteAdmin> route_admin_;
  std::unique_ptr<ops::OpsSurface> ops_;
  std::unique_ptr<net::HttpServer> server_;
  std::uint16_t port_ = 0;

 private:
  void make_gateway() {
    auto& shards = world_.loops.shards();
    auto poke = [this] { dispatcher_->poke(); };
    world_.place_freed = poke;
    world_.local_models = [this](std::vector<gateway::LocalModel> models) {
      routes_->set_local_models(std::move(models));
    };
    world_.make();
    dispatcher_ = std::make_unique<gateway::Dispatcher>(shards, *world_.scheduler);
    telemetry::Logger log(world_.log, "gateway");
    registry_ = std::make_unique<gateway::EndpointRegistry>(
        gateway::RegistryParts{shards.control(), world_.bindings(), log, poke, {}});
    routes_ = std::make_unique<gateway::RouteControl>(gateway::RouteControlParts{
        shards, world_.pool(), log, *dispatcher_, *registry_, *resources_, *sealer_,
        [this](const gateway::RouteTable& table) {
          world_.scheduler->set_routed(scheduler::routed_models(table, facts_.started));
        }});
    auto& control = shards.control();
    auto started = world_.loops.run(control, routes_->start(world_.shared_settings()));
    ASSERT_TRUE(started) << started.error().describe();
    control.every(20ms, [this] { dispatcher_->tick(); });
    world_.start();
  }

  void open_store() {
    auto database =
        store::Database::open({.url = "sqlite:" + (world_.folder / "corral.db").string()});
    ASSERT_TRUE(database) << database.error().describe();
    database_ = std::move(*database);
    auto steps = store::migrate(*database_, store::schema_migrations(), world_.clock());
    ASSERT_TRUE(steps) << steps.error().describe();
    resources_ = std::make_unique<store::Resources>(*database_, world_.clock());
    auto sealer = store::Sealer::open(world_.files(), world_.folder / "secrets.key");
    ASSERT_TRUE(sealer) << sealer.error().describe();
    sealer_ = std::move(*sealer);
  }

  void make_surfaces() {
    auto& shards = world_.loops.shards();
    caller_rules_ = std::make_unique<net::Snapshot<CallerRules>>(
        shards, std::make_shared<const CallerRules>(rules_));
    api_ = std::make_unique<Api>(shards, telemetry::Logger(world_.log, "access"), world_.metrics,
                                 std::make_shared<const Gate>(gate_), true);
    openai_ =
        std::make_unique<openai::OpenAiSurface>(*dispatcher_, *world_.scheduler, *caller_rules_);
    facts_.version = "1.2.3";
    facts_.listeners = {"http://here"};
    admin_ = std::make_unique<admin::AdminSurface>(*world_.scheduler, facts_, shards.control());
    route_admin_ = std::make_unique<admin::RouteAdmin>(*routes_, *dispatcher_);
    ops_ = std::make_unique<ops::OpsSurface>(
        ops::OpsParts{*api_, *world_.scheduler, world_.metrics, pool_, "1.2.3", ready_, draining_,
                      [] { return std::size_t{5}; }, [] { return std::size_t{6}; }});
    openai_->add_routes(api_->router());
    admin_->add_routes(api_->router());
    route_admin_->add_routes(api_->router());
    ops_->add_routes(api_->router());
    ops_->add_root(api_->router());
  }

  void serve() {
    server_ = std::make_unique<net::HttpServer>(
        world_.loops.shards(), net::HttpServerOptions{.max_body_bytes = 1 << 20},
        [this](net::HttpExchange& exchange) { return api_->handle(exchange); },
        [this](const net::HttpRequest& request, const net::HttpOutcome& outcome) {
          api_->observe(request, outcome);
        });
    auto bound = server_->listen("127.0.0.1", 0);
    ASSERT_TRUE(bound);
    port_ = bound->port;
    server_->start();
  }
};

inline boost::json::value parsed(std::string_view answer) {
  auto value = json::parse(body_of(answer));
  EXPECT_TRUE(value) << answer;
  return value ? *value : boost::json::value(boost::json::object{});
}

}  // namespace corral::api

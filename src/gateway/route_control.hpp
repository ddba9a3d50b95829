// Endpoints and routes as they are managed while the server runs: those of the configuration, and
// those that the store keeps and administrators change. Every change is checked as a whole, stored,
// and then put to work without a restart. Changes of one process are made one after another; what
// another process stored meanwhile is read, and the change checked again, before it is stored.
//
// Thread rule: belongs to the control shard; blocking calls run on the pool. Lifecycle: construct,
// `co_await start()`, use, `co_await stop()`.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "gateway/dispatcher.hpp"
#include "gateway/endpoint_registry.hpp"
#include "gateway/routing.hpp"
#include "gateway/turns.hpp"
#include "net/shard.hpp"
#include "store/resources.hpp"
#include "store/sealer.hpp"
#include "telemetry/log.hpp"

namespace corral::gateway {

struct RouteControlParts {
  net::Shards& shards;
  net::BlockingPool& pool;
  telemetry::Logger log;
  Dispatcher& dispatcher;
  EndpointRegistry& registry;
  store::Resources& resources;
  const store::Sealer& sealer;
  std::function<void(const RouteTable&)> changed;  // new routes are in place
};

// Where the container of that name answers.
struct ContainerPlace {
  std::uint16_t port = 0;  // of this host's loopback; 0: nowhere now
  std::string why_not;     // no request can be sent there; empty: it can
  bool operator==(const ContainerPlace&) const = default;
};
using ContainerPlaces = std::map<std::string, ContainerPlace>;

enum class ResourceKind { endpoint, route };

// One endpoint or route as administrators see it.
struct Managed {
  std::string name;
  bool from_config = false;  // in the configuration file: changed there, not here
  std::int64_t version = 0;  // of the stored one
  std::string json;          // without secrets
};

struct ManagedChange {
  ResourceKind kind = ResourceKind::route;
  std::string name;
  std::string body;                              // JSON
  std::optional<std::int64_t> expected_version;  // 0: it must be new
  std::string author;
};

class RouteControl {
 public:
  explicit RouteControl(RouteControlParts parts);

  net::Task<Result<void>> start(std::shared_ptr<const config::Settings> settings);
  void reload(std::shared_ptr<const config::Settings> settings);
  void set_local_models(std::vector<LocalModel> models);
  void set_containers(ContainerPlaces places);  // of settings.docker.containers
  net::Task<void> stop();

  // For calls from other shards (net::run_on, net::call_on).
  net::Shard& shard() const { return parts_.shards.control(); }
  net::TaskGroup& tasks() { return *tasks_; }
  const EndpointRegistry& registry() const { return parts_.registry; }
  EndpointRegistry& registry() { return parts_.registry; }

  std::vector<Managed> list(ResourceKind kind) const;
  Result<Managed> find(ResourceKind kind, const std::string& name) const;
  // invalid_argument with all problems; conflict: another version, or a name of the configuration.
  net::Task<Result<Managed>> put(ManagedChange change);
  net::Task<Result<void>> remove(ManagedChange change);

 private:
  template <class T>
  struct Stored {
    T settings;
    std::int64_t version = 0;
  };
  using Endpoints = std::map<std::string, Stored<config::EndpointSettings>>;
  using Routes = std::map<std::string, Stored<config::RouteSettings>>;

  enum class Reading { any, newer };  // newer: what is older than what is known is left
  net::Task<Result<void>> load(Reading reading);
  net::Task<void> follow();  // changes that other processes make
  net::Task<Result<void>> catch_up();
  net::Task<Result<Managed>> put_in_turn(ManagedChange change);
  net::Task<Result<void>> remove_in_turn(ManagedChange change);
  // Stores what `prepare` makes of the present state; again if that is no longer the present one.
  using Prepare = std::function<Result<store::ResourceChange>()>;
  using Write = std::function<Result<std::int64_t>(const store::ResourceChange&)>;  // on the pool
  net::Task<Result<std::int64_t>> commit(Prepare prepare, Write write);
  std::vector<config::EndpointSettings> configured_endpoints() const;
  void hold_containers();
  std::vector<config::EndpointSettings> all_endpoints(const Endpoints& stored) const;
  std::vector<config::RouteSettings> all_routes(const Routes& stored) const;
  Result<void> check(const Endpoints& endpoints, const Routes& routes) const;
  Result<void> check_name(ResourceKind kind, const std::string& name) const;
  bool in_config(ResourceKind kind, const std::string& name) const;
  Result<std::string> stored_form(const ManagedChange& change, Endpoints& endpoints,
                                  Routes& routes) const;
  void apply();

  RouteControlParts parts_;
  std::shared_ptr<const config::Settings> settings_;
  Endpoints endpoints_;
  Routes routes_;
  std::vector<LocalModel> local_models_;
  ContainerPlaces containers_;
  RouteStates states_;
  std::unique_ptr<net::TaskGroup> tasks_;
  std::int64_t revision_ = -1;
  Turns turns_;
};

}  // namespace corral::gateway

#include "gateway/route_control.hpp"

#include <fmt/core.h>

#include "base/text.hpp"
#include "config/containers.hpp"

namespace corral::gateway {
namespace {

constexpr std::chrono::seconds kFollow{5};
constexpr int kRounds = 8;  // that a change is checked anew when other processes were quicker
constexpr int kPage = store::Resources::kLongestList;

std::string kind_name(ResourceKind kind) {
  return kind == ResourceKind::endpoint ? "endpoint" : "route";
}

std::string sealing_context(const std::string& endpoint) {
  return "endpoint/" + endpoint + "/api_key";
}

// All documents of a kind, page by page.
Result<std::vector<store::Resource>> read_all(store::Resources& resources,
                                              const std::string& kind) {
  std::vector<store::Resource> all;
  for (;;) {
    CORRAL_TRY(auto page,
               resources.list(kind, all.empty() ? std::string() : all.back().name, kPage));
    bool last = page.size() < static_cast<std::size_t>(kPage);
    for (auto& each : page) all.push_back(std::move(each));
    if (last) return all;
  }
}

struct Loaded {
  std::vector<store::Resource> endpoints, routes;
  std::int64_t revision = 0;
};

Result<Loaded> read_stored(store::Resources& resources) {
  Loaded loaded;
  CORRAL_TRY(loaded.revision, resources.revision());
  CORRAL_TRY(loaded.endpoints, read_all(resources, "endpoint"));
  CORRAL_TRY(loaded.routes, read_all(resources, "route"));
  return loaded;
}

}  // namespace

RouteControl::RouteControl(RouteControlParts parts)
    : parts_(std::move(parts)), tasks_(std::make_unique<net::TaskGroup>(parts_.shards.control())) {}

net::Task<Result<void>> RouteControl::start(std::shared_ptr<const config::Settings> settings) {
  settings_ = std::move(settings);
  CORRAL_CO_CHECK(co_await load(Reading::any));
  apply();
  parts_.registry.start();
  tasks_->spawn(follow());
  co_return Result<void>();
}

net::Task<void> RouteControl::stop() { co_await tasks_->close(); }

void RouteControl::reload(std::shared_ptr<const config::Settings> settings) {
  settings_ = std::move(settings);
  if (auto well = check(endpoints_, routes_); !well) {
    parts_.log.error(
        "stored endpoints or routes do not fit the new configuration; those that do "
        "not are left out",
        {{"error", well.error().message}});
  }
  apply();
}

void RouteControl::set_local_models(std::vector<LocalModel> models) {
  local_models_ = std::move(models);
  if (settings_ != nullptr) apply();
}

void RouteControl::set_containers(ContainerPlaces places) {
  auto before = std::exchange(containers_, std::move(places));
  if (settings_ == nullptr || before == containers_) return;
  auto moved = [](const ContainerPlaces& all) {
    std::map<std::string, std::uint16_t> ports;
    for (const auto& [name, place] : all) ports[name] = place.port;
    return ports;
  };
  if (moved(before) != moved(containers_)) {
    apply();
  } else {
    hold_containers();
  }
}

// --- what the store holds ------------------------------------------------------------------------

net::Task<Result<void>> RouteControl::load(Reading reading) {
  std::function<Result<Loaded>()> read = [this] { return read_stored(parts_.resources); };
  CORRAL_CO_TRY(auto loaded, co_await net::run_blocking(parts_.pool, std::move(read)));
  // Of two changes at once, the one that read first may come back last.
  if (reading == Reading::newer && loaded.revision < revision_) co_return Result<void>();
  Endpoints endpoints;
  for (const auto& each : loaded.endpoints) {
    auto parsed = config::parse_endpoint(each.body, "endpoint " + each.name);
    if (parsed && store::Sealer::is_sealed(parsed->api_key.value)) {
      auto key = parts_.sealer.unseal(parsed->api_key.value, sealing_context(each.name));
      if (key) parsed->api_key.value = std::move(*key);
      if (!key) parsed = std::unexpected(std::move(key).error());
    }
    if (parsed) {
      endpoints[each.name] = {std::move(*parsed), each.version};
    } else {
      parts_.log.error("a stored endpoint cannot be used",
                       {{"endpoint", each.name}, {"error", parsed.error().describe()}});
    }
  }
  Routes routes;
  for (const auto& each : loaded.routes) {
    auto parsed = config::parse_route(each.body, "route " + each.name);
    if (parsed) {
      routes[each.name] = {std::move(*parsed), each.version};
    } else {
      parts_.log.error("a stored route cannot be used",
                       {{"route", each.name}, {"error", parsed.error().describe()}});
    }
  }
  endpoints_ = std::move(endpoints);
  routes_ = std::move(routes);
  revision_ = loaded.revision;
  co_return Result<void>();
}

net::Task<void> RouteControl::follow() {
  while (co_await net::sleep_for(kFollow)) {
    std::function<Result<std::int64_t>()> ask = [this] { return parts_.resources.revision(); };
    auto revision = co_await net::run_blocking(parts_.pool, std::move(ask));
    if (!revision || *revision == revision_) continue;
    auto loaded = co_await load(Reading::any);  // an older one: it was restored
    if (loaded) {
      apply();
    } else {
      parts_.log.error("stored endpoints and routes cannot be read",
                       {{"error", loaded.error().describe()}});
    }
  }
}

// --- putting it together -------------------------------------------------------------------------

bool RouteControl::in_config(ResourceKind kind, const std::string& name) const {
  auto same = [&](const auto& each) { return iequals(each.name, name); };
  if (kind == ResourceKind::route) return std::ranges::any_of(settings_->routes, same);
  return std::ranges::any_of(settings_->endpoints, same) ||
         std::ranges::any_of(settings_->docker.containers, same);
}

std::vector<config::EndpointSettings> RouteControl::configured_endpoints() const {
  auto all = settings_->endpoints;
  for (const auto& container : settings_->docker.containers) {
    auto place = containers_.find(container.name);
    all.push_back(
        config::endpoint_of(container, place == containers_.end() ? 0 : place->second.port));
  }
  return all;
}

// Nobody is sent to a container that is not known to answer.
void RouteControl::hold_containers() {
  std::map<std::string, std::string> held;
  for (const auto& container : settings_->docker.containers) {
    auto place = containers_.find(container.name);
    std::string why = place == containers_.end() ? "it is not known yet" : place->second.why_not;
    if (!why.empty())
      held[container.name] = fmt::format("the container {}: {}", container.name, why);
  }
  parts_.registry.hold(std::move(held));
}

std::vector<config::EndpointSettings> RouteControl::all_endpoints(const Endpoints& stored) const {
  auto all = configured_endpoints();
  for (const auto& [name, each] : stored) {
    if (!in_config(ResourceKind::endpoint, name)) all.push_back(each.settings);
  }
  return all;
}

std::vector<config::RouteSettings> RouteControl::all_routes(const Routes& stored) const {
  auto all = settings_->routes;
  for (const auto& [name, each] : stored) {
    if (!in_config(ResourceKind::route, name)) all.push_back(each.settings);
  }
  return all;
}

Result<void> RouteControl::check(const Endpoints& endpoints, const Routes& routes) const {
  auto all = all_endpoints(endpoints);
  auto problems = config::validate_endpoints(all);
  for (auto& each : config::validate_routes(all, all_routes(routes))) {
    problems.push_back(std::move(each));
  }
  if (problems.empty()) return {};
  std::string text;
  for (const auto& problem : problems) {
    if (!text.empty()) text += '\n';
    text += fmt::format("{}: {}", problem.path, problem.message);
  }
  return fail(ErrorCode::invalid_argument, std::move(text)).field(problems.front().path);
}

void RouteControl::apply() {
  auto endpoints = all_endpoints(endpoints_);
  auto routes = all_routes(routes_);
  hold_containers();
  parts_.registry.apply(endpoints, settings_->gateway);
  auto table = RouteTable::make({.endpoints = endpoints,
                                 .routes = routes,
                                 .local_models = local_models_,
                                 .gateway = settings_->gateway,
                                 .model_settings = settings_->models.settings});
  parts_.dispatcher.publish(states_.join(table, parts_.registry, settings_->gateway.retry_after));
  parts_.dispatcher.poke();
  if (parts_.changed) parts_.changed(*table);
}

// --- administration ------------------------------------------------------------------------------

std::vector<Managed> RouteControl::list(ResourceKind kind) const {
  std::vector<Managed> result;
  auto add = [&](const auto& configured, const auto& stored) {
    for (const auto& each : configured) {
      result.push_back({each.name, true, 0, config::to_json(each)});
    }
    for (const auto& [name, each] : stored) {
      if (in_config(kind, name)) continue;
      result.push_back({name, false, each.version, config::to_json(each.settings)});
    }
  };
  if (kind == ResourceKind::endpoint) {
    add(configured_endpoints(), endpoints_);
  } else {
    add(settings_->routes, routes_);
  }
  return result;
}

Result<Managed> RouteControl::find(ResourceKind kind, const std::string& name) const {
  auto all = list(kind);
  auto found = std::ranges::find(all, name, &Managed::name);
  if (found != all.end()) return std::move(*found);
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const auto& each : all) names.push_back(each.name);
  Error error =
      fail(ErrorCode::not_found, fmt::format("there is no {} '{}'", kind_name(kind), name));
  auto near = nearest(name, names);
  if (!near.empty()) error.hint_text = "did you mean " + join(near, " or ") + "?";
  return std::unexpected(std::move(error));
}

Result<void> RouteControl::check_name(ResourceKind kind, const std::string& name) const {
  if (!in_config(kind, name)) return {};
  return fail(ErrorCode::conflict,
              fmt::format("the {} '{}' stands in the configuration file", kind_name(kind), name))
      .hint("change it there, and send the server SIGHUP");
}

// Parses and checks the change as part of the whole; gives the body to be stored.
Result<std::string> RouteControl::stored_form(const ManagedChange& change, Endpoints& endpoints,
                                              Routes& routes) const {
  auto named_right = [&](const std::string& name) -> Result<void> {
    if (name == change.name) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("the body names '{}', the address '{}'", name, change.name))
        .field("name");
  };
  if (change.kind == ResourceKind::route) {
    CORRAL_TRY(auto route, config::parse_route(change.body, "request"));
    CORRAL_CHECK(named_right(route.name));
    std::string body = config::to_stored_json(route);
    routes[change.name].settings = std::move(route);
    CORRAL_CHECK(check(endpoints, routes));
    return body;
  }
  auto before = endpoints.find(change.name);
  CORRAL_TRY(auto endpoint, config::parse_endpoint(
                                change.body, "request",
                                before == endpoints.end() ? nullptr : &before->second.settings));
  CORRAL_CHECK(named_right(endpoint.name));
  endpoints[change.name].settings = endpoint;
  CORRAL_CHECK(check(endpoints, routes));
  if (!endpoint.api_key.empty()) {
    endpoint.api_key.value =
        parts_.sealer.seal(endpoint.api_key.value, sealing_context(change.name));
  }
  return config::to_stored_json(endpoint);
}

// --- changing ------------------------------------------------------------------------------------

net::Task<Result<Managed>> RouteControl::put(ManagedChange change) {
  auto turn = co_await turns_.take();
  if (!turn) co_return std::unexpected(fail(ErrorCode::cancelled, "the client left"));
  co_return co_await put_in_turn(std::move(change));
}

net::Task<Result<void>> RouteControl::remove(ManagedChange change) {
  auto turn = co_await turns_.take();
  if (!turn) co_return std::unexpected(fail(ErrorCode::cancelled, "the client left"));
  co_return co_await remove_in_turn(std::move(change));
}

net::Task<Result<void>> RouteControl::catch_up() {
  CORRAL_CO_CHECK(co_await load(Reading::newer));
  apply();
  co_return Result<void>();
}

net::Task<Result<std::int64_t>> RouteControl::commit(Prepare prepare, Write write) {
  for (int round = 0;; ++round) {
    const auto known = revision_;
    auto change = prepare();
    if (!change) {
      // It may be refused for what is no longer so.
      auto loaded = co_await load(Reading::newer);
      if (!loaded || revision_ == known || round == kRounds) {
        co_return std::unexpected(std::move(change).error());
      }
      apply();
      continue;
    }
    change->expected_revision = known;
    std::function<Result<std::int64_t>()> work = [&write, &change] { return write(*change); };
    auto written = co_await net::run_blocking(parts_.pool, std::move(work));
    const bool outdated = !written && written.error().code == ErrorCode::conflict &&
                          written.error().param == store::Resources::kRevisionField;
    if (!outdated || round == kRounds) co_return written;
    CORRAL_CO_CHECK(co_await catch_up());
  }
}

net::Task<Result<Managed>> RouteControl::put_in_turn(ManagedChange change) {
  Prepare prepare = [this, &change]() -> Result<store::ResourceChange> {
    CORRAL_CHECK(check_name(change.kind, change.name));
    auto endpoints = endpoints_;
    auto routes = routes_;
    CORRAL_TRY(auto body, stored_form(change, endpoints, routes));
    return store::ResourceChange{kind_name(change.kind),  change.name,   std::move(body),
                                 change.expected_version, change.author, {}};
  };
  Write write = [this](const store::ResourceChange& stored) -> Result<std::int64_t> {
    CORRAL_TRY(auto written, parts_.resources.put(stored));
    return written.version;
  };
  CORRAL_CO_TRY(auto version, co_await commit(std::move(prepare), std::move(write)));
  CORRAL_CO_CHECK(co_await catch_up());
  parts_.log.info("changed", {{"kind", kind_name(change.kind)},
                              {"name", change.name},
                              {"version", version},
                              {"author", change.author}});
  co_return find(change.kind, change.name);
}

net::Task<Result<void>> RouteControl::remove_in_turn(ManagedChange change) {
  Prepare prepare = [this, &change]() -> Result<store::ResourceChange> {
    CORRAL_CHECK(check_name(change.kind, change.name));
    CORRAL_CHECK(find(change.kind, change.name));
    auto endpoints = endpoints_;
    auto routes = routes_;
    if (change.kind == ResourceKind::endpoint) {
      endpoints.erase(change.name);
    } else {
      routes.erase(change.name);
    }
    CORRAL_CHECK(check(endpoints, routes));
    return store::ResourceChange{kind_name(change.kind),  change.name,   {},
                                 change.expected_version, change.author, {}};
  };
  Write write = [this](const store::ResourceChange& stored) {
    return parts_.resources.remove(stored);
  };
  CORRAL_CO_CHECK(co_await commit(std::move(prepare), std::move(write)));
  CORRAL_CO_CHECK(co_await catch_up());
  parts_.log.info(
      "removed",
      {{"kind", kind_name(change.kind)}, {"name", change.name}, {"author", change.author}});
  co_return Result<void>();
}

}  // namespace corral::gateway

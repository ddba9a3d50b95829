#include "engines/docker/containers.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "engines/core/engine_log.hpp"
#include "engines/docker/container_judge.hpp"

namespace corral::engines::docker {
namespace {

constexpr std::chrono::seconds kMeasure{10};
constexpr std::size_t kMostLogBytes = 4u << 20;

std::string url_at(const config::ContainerSettings& settings, std::uint16_t port) {
  return fmt::format("http://127.0.0.1:{}{}", port, settings.path);
}

std::string label_of(const ContainerSummary& summary) {
  auto found = summary.labels.find(std::string(kNameLabel));
  return found == summary.labels.end() ? std::string() : found->second;
}

struct Gauges {
  Gauges(telemetry::Metrics& metrics, const std::string& name)
      : up(metrics.gauge("corral_container_up", "1: the engine in the container answers.",
                         {{"container", name}})),
        restarts(metrics.gauge("corral_container_restarts",
                               "Times it was started again by itself, since it was told to run.",
                               {{"container", name}})),
        memory(metrics.gauge("corral_container_memory_bytes",
                             "Memory of the container, without what the page cache can give back.",
                             {{"container", name}})),
        cpu(metrics.gauge("corral_container_cpu_seconds", "Processor time of the container.",
                          {{"container", name}})) {}
  telemetry::Gauge up, restarts, memory, cpu;
};

}  // namespace

struct Containers::Engine {
  Engine(const std::string& socket, const ContainersParts& parts,
         std::function<void(const Listing&)> seen)
      : client(socket),
        watch(client, parts.control, parts.clock, parts.log, std::move(seen), parts.pace) {}
  DockerClient client;
  ContainerWatch watch;
};

struct Containers::Entry {
  Entry(const config::ContainerSettings& settings, ContainerServices services,
        Container::Listener listener, ContainerPolicy policy, telemetry::Metrics& metrics)
      : container(settings, std::move(services), std::move(listener), policy),
        gauges(metrics, settings.name) {}
  Container container;
  Gauges gauges;
};

Containers::Containers(ContainersParts parts) : parts_(std::move(parts)), tasks_(parts_.control) {}

Containers::~Containers() = default;

// --- what is configured --------------------------------------------------------------------------

void Containers::apply(const config::DockerSettings& settings) {
  if (stopping_ || (engine_ == nullptr && settings.containers.empty())) return;
  wanted_ = settings;
  if (changing_) return;  // it looks again when it is done
  changing_ = true;       // before: it may end at once
  if (!tasks_.spawn(change())) changing_ = false;
}

net::Task<void> Containers::change() {
  while (wanted_ && !stopping_) {
    auto settings = *std::exchange(wanted_, std::nullopt);
    co_await change_to(std::move(settings));
  }
  changing_ = false;
}

net::Task<void> Containers::change_to(config::DockerSettings settings) {
  bool first = engine_ == nullptr;
  bool moved = !first && engine_->client.socket() != settings.socket;
  std::vector<std::shared_ptr<Entry>> replaced;
  std::vector<std::shared_ptr<Entry>> dropped;
  Entries kept;
  for (auto& [name, entry] : entries_) {
    auto found = std::ranges::find(settings.containers, name, &config::ContainerSettings::name);
    if (found == settings.containers.end()) {
      dropped.push_back(std::move(entry));
    } else if (moved || !(entry->container.settings() == *found)) {
      replaced.push_back(std::move(entry));
    } else {
      kept.emplace(name, std::move(entry));
    }
  }
  entries_ = std::move(kept);
  // Those that are replaced run on until the new one has seen what there is.
  for (auto& entry : replaced) co_await retire(std::move(entry), false);
  for (auto& entry : dropped) entry->container.remove();  // all at once, then one after the other
  for (auto& entry : dropped) co_await retire(std::move(entry), true);
  if (moved) co_await engine_->watch.stop();
  if (first || moved) {
    engine_ = std::make_shared<Engine>(settings.socket, parts_,
                                       [this](const Listing& listing) { seen(listing); });
    engine_->watch.start();
    if (first) tasks_.spawn(measure());
  }
  for (const auto& each : settings.containers) {
    if (entries_.contains(each.name)) continue;
    auto [place, fresh] = entries_.emplace(each.name, make(each));
    place->second->container.start();
  }
  parts_.changed();
}

std::shared_ptr<Containers::Entry> Containers::make(const config::ContainerSettings& settings) {
  ContainerServices services{parts_.control,     engine_->client,
                             parts_.clock,       parts_.log,
                             parts_.environment, [this] { engine_->watch.refresh(); }};
  auto policy = policy_of(settings);
  if (parts_.policy) {
    policy = *parts_.policy;
    policy.pull = settings.pull;
  }
  return std::make_shared<Entry>(settings, std::move(services), Container::Listener{[this] {
                                   note_metrics();
                                   parts_.changed();
                                 }},
                                 policy, parts_.metrics);
}

net::Task<void> Containers::retire(std::shared_ptr<Entry> entry, bool and_remove) {
  if (and_remove) {
    entry->container.remove();
    auto done = co_await entry->container.settled();
    if (!done) {
      parts_.log.error(
          "a container that is no longer wanted stays",
          {{"container", entry->container.settings().name}, {"error", done.error().describe()}});
    }
  }
  entry->gauges.up.set(0);
  entry->gauges.memory.set(0);
  co_await entry->container.close();
}

net::Task<void> Containers::stop() {
  stopping_ = true;
  for (auto& [name, entry] : entries_) {
    if (entry->container.settings().remove) entry->container.remove();
  }
  while (!entries_.empty()) {
    auto entry = std::move(entries_.begin()->second);
    entries_.erase(entries_.begin());
    bool and_remove = entry->container.settings().remove;
    co_await retire(std::move(entry), and_remove);
  }
  co_await tasks_.close();
  if (engine_) co_await engine_->watch.stop();
}

// --- watching ------------------------------------------------------------------------------------

void Containers::seen(const Listing& listing) {
  for (auto& [name, entry] : entries_) entry->container.seen(listing);
  if (std::exchange(told_strays_, true)) return;
  for (const auto& each : listing.containers) {
    std::string name = label_of(each);
    if (entries_.contains(name)) continue;
    parts_.log.info(
        "a container of ours is not in the configuration; corral containers rm removes it",
        {{"container", name}, {"state", each.state}});
  }
}

net::Task<void> Containers::measure() {
  do {
    note_metrics();
    for (const auto& [name, entry] : entries_) tasks_.spawn(measure_one(entry));
  } while (co_await net::sleep_for(kMeasure));
}

net::Task<void> Containers::measure_one(std::shared_ptr<Entry> entry) {
  auto engine = engine_;
  co_await entry->container.measure();
}

void Containers::note_metrics() {
  for (const auto& [name, entry] : entries_) {
    auto info = entry->container.info();
    entry->gauges.up.set(info.state == ContainerState::ready ? 1 : 0);
    entry->gauges.restarts.set(info.restarts);
    entry->gauges.memory.set(info.usage ? static_cast<double>(info.usage->memory) : 0);
    entry->gauges.cpu.set(info.usage ? info.usage->cpu_seconds : 0);
  }
}

// --- administration ------------------------------------------------------------------------------

const std::optional<Error>& Containers::problem() const {
  static const std::optional<Error> kNone;
  return engine_ == nullptr ? kNone : engine_->watch.problem();
}

ContainerView Containers::view_of(const Container& container) const {
  ContainerView view;
  view.name = container.settings().name;
  view.image = container.settings().image;
  view.info = container.info();
  if (view.info.state == ContainerState::ready && view.info.port != 0) {
    view.url = url_at(container.settings(), view.info.port);
  }
  const auto& listing = engine_->watch.listing();
  if (listing == nullptr) return view;
  for (const auto& each : listing->containers) {
    if (label_of(each) != view.name) continue;
    view.docker_state = each.state;
    view.docker_status = each.status;
  }
  return view;
}

std::vector<ContainerView> Containers::view() const {
  std::vector<ContainerView> all;
  if (engine_ == nullptr) return all;
  all.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) all.push_back(view_of(entry->container));
  const auto& listing = engine_->watch.listing();
  if (listing == nullptr) return all;
  for (const auto& each : listing->containers) {
    std::string name = label_of(each);
    if (entries_.contains(name)) continue;
    ContainerView view;
    view.name = std::move(name);
    view.image = each.image;
    view.configured = false;
    view.docker_state = each.state;
    view.docker_status = each.status;
    view.info.id = each.id;
    view.info.state = each.running() ? ContainerState::ready : ContainerState::stopped;
    all.push_back(std::move(view));
  }
  return all;
}

std::optional<ContainerSummary> Containers::stray(const std::string& name) const {
  if (engine_ == nullptr || engine_->watch.listing() == nullptr) return std::nullopt;
  for (const auto& each : engine_->watch.listing()->containers) {
    if (label_of(each) == name) return each;
  }
  return std::nullopt;
}

Error Containers::unknown(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& each : view()) names.push_back(each.name);
  Error error = fail(ErrorCode::not_found, fmt::format("there is no container '{}'", name));
  auto near = nearest(name, names);
  error.hint_text = near.empty() ? "docker.containers in the configuration names them"
                                 : "did you mean " + join(near, " or ") + "?";
  return error;
}

net::Task<Result<void>> Containers::act(std::string name, ContainerCommand command,
                                        Container::Report report) {
  auto engine = engine_;
  auto found = entries_.find(name);
  if (found == entries_.end()) {
    auto left = stray(name);
    if (!left) co_return std::unexpected(unknown(name));
    if (command != ContainerCommand::remove) {
      co_return fail(ErrorCode::conflict,
                     fmt::format("the container {} is not in the configuration", name))
          .hint("it can only be removed");
    }
    auto removed = co_await engine->client.remove(left->id);
    engine->watch.refresh();
    co_return removed;
  }
  auto entry = found->second;
  auto& container = entry->container;
  switch (command) {
    case ContainerCommand::start: container.start(); break;
    case ContainerCommand::stop: container.stop(); break;
    case ContainerCommand::restart: container.restart(); break;
    case ContainerCommand::remove: container.remove(); break;
    case ContainerCommand::pull: co_return co_await container.pull(std::move(report));
  }
  co_return co_await container.settled();
}

net::Task<Result<std::vector<LogLine>>> Containers::logs(std::string name, unsigned tail) {
  auto left = stray(name);
  if (!left && !entries_.contains(name)) co_return std::unexpected(unknown(name));
  if (!left) {
    co_return fail(ErrorCode::conflict, fmt::format("the container {} does not exist now", name))
        .hint("corral containers shows what it waits for");
  }
  auto engine = engine_;
  std::vector<LogLine> lines;
  std::size_t bytes = 0;
  LineSplitter out, err;
  auto add = [&](LogStream from, std::string_view text) {
    bytes += text.size();
    if (lines.size() < kMostLogLines && bytes < kMostLogBytes) {
      lines.push_back({from, std::string(text)});
    }
  };
  auto add_out = [&](std::string_view text) { add(LogStream::out, text); };
  auto add_err = [&](std::string_view text) { add(LogStream::err, text); };
  auto take = [&](LogStream from, std::string_view text) {
    if (from == LogStream::out) {
      out.feed(text, add_out);
    } else {
      err.feed(text, add_err);
    }
  };
  LogQuery query{.tail = std::min(tail, kMostLogLines)};
  CORRAL_CO_CHECK(co_await engine->client.logs(left->id, query, take));
  out.finish(add_out);
  err.finish(add_err);
  co_return lines;
}

std::string Containers::why_not(const ContainerView& view) {
  switch (view.info.state) {
    case ContainerState::ready: return view.info.port == 0 ? "it has no address" : "";
    case ContainerState::absent: return "it is not wanted; corral containers start makes it";
    case ContainerState::looking: return "it is being looked for";
    case ContainerState::pulling: return "its image is being pulled";
    case ContainerState::creating: return "it is being made";
    case ContainerState::starting: return "it is starting";
    case ContainerState::stopping: return "it is being stopped";
    case ContainerState::stopped: return "it is stopped";
    case ContainerState::backing_off:
    case ContainerState::failed: break;
  }
  std::string why = view.info.state == ContainerState::failed ? "it failed" : "it is tried again";
  if (view.info.last_error) why += ": " + view.info.last_error->message;
  return why;
}

}  // namespace corral::engines::docker

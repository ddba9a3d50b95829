#include "engines/docker/container.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <utility>

#include "engines/core/engine_log.hpp"
#include "engines/docker/container_judge.hpp"
#include "engines/docker/container_spec.hpp"
#include "engines/wake_timer.hpp"

namespace corral::engines::docker {
namespace {

using Kind = ContainerActionKind;

constexpr unsigned kLogLinesPerSecond = 200;
constexpr std::chrono::seconds kLogAgain{1};

}  // namespace

struct Container::Impl {
  Impl(config::ContainerSettings settings_, ContainerServices services_, Listener listener_,
       ContainerPolicy policy)
      : settings(std::move(settings_)),
        services(std::move(services_)),
        listener(std::move(listener_)),
        spec(make_spec(settings, services.environment)),
        machine(policy),
        since(services.clock.wall()),
        tasks(services.shard),
        timer(services.shard, services.clock, [this] { perform(machine.tick(now())); }),
        steps(services.shard),
        logs(services.shard) {}

  void perform(ContainerActions actions);
  void perform_one(const ContainerAction& action);
  void note_state();

  net::Task<void> run_step(Kind step);
  net::Task<Result<void>> do_step(Kind step);
  net::Task<void> look();
  net::Task<Result<ContainerFinding>> find();
  net::Task<Result<void>> pull(Report report);
  net::Task<Result<void>> start();
  net::Task<Result<void>> stop(bool and_remove);
  net::Task<void> check();
  net::Task<void> measure();

  net::Task<void> ended();
  void follow_log(std::int64_t from);
  net::Task<void> read_log(std::int64_t from, unsigned run);
  void log_line(std::string_view line);
  bool is_up() const {
    return machine.state() == ContainerState::starting || machine.state() == ContainerState::ready;
  }
  void use(const ContainerDetails& details);
  sys::Steady now() const { return services.clock.now(); }
  std::int64_t second() const {
    return std::chrono::duration_cast<std::chrono::seconds>(
               services.clock.wall().time_since_epoch())
        .count();
  }

  const config::ContainerSettings settings;
  ContainerServices services;
  Listener listener;
  const ContainerSpec spec;
  ContainerMachine machine;
  ContainerState noted = ContainerState::absent;
  sys::Wall since;
  std::string id;
  std::uint16_t port = 0;
  bool adopted = false;
  std::optional<PullState> pulling;
  std::optional<ContainerUsage> usage;
  sys::Steady step_ended{};
  unsigned log_run = 0;
  LogTail tail;
  LineBudget budget{kLogLinesPerSecond};
  std::deque<ContainerAction> queue;
  bool performing = false;
  bool closed = false;
  bool asking_end = false;
  std::vector<std::shared_ptr<net::Wakeup>> waiters;
  net::TaskGroup tasks;
  WakeTimer timer;
  net::TaskGroup steps;  // so that a step can be cancelled
  net::TaskGroup logs;
};

// --- actions -------------------------------------------------------------------------------------

void Container::Impl::perform(ContainerActions actions) {
  std::ranges::move(actions, std::back_inserter(queue));
  if (performing) return;
  performing = true;
  while (!queue.empty()) {
    auto action = std::move(queue.front());
    queue.pop_front();
    note_state();
    perform_one(action);
  }
  performing = false;
  note_state();
  timer.set(machine.wake_at());
}

void Container::Impl::note_state() {
  if (machine.state() == noted) return;
  noted = machine.state();
  since = services.clock.wall();
  if (listener.changed) listener.changed();
  for (auto& waiter : std::exchange(waiters, {})) waiter->notify();
}

void Container::Impl::perform_one(const ContainerAction& action) {
  auto& log = services.log;
  switch (action.kind) {
    case Kind::look:
    case Kind::pull:
    case Kind::create:
    case Kind::start:
    case Kind::stop:
    case Kind::remove: steps.spawn(run_step(action.kind)); break;
    case Kind::cancel: steps.cancel(); break;
    case Kind::check: tasks.spawn(check()); break;
    case Kind::tell_ready:
      log.info("container ready", {{"container", settings.name}, {"port", port}});
      tasks.spawn(measure());
      break;
    case Kind::tell_down:
      log.warn("container down",
               {{"container", settings.name}, {"error", action.reason->describe()}});
      break;
    case Kind::tell_failed:
      log.error("container failed",
                {{"container", settings.name}, {"error", action.reason->describe()}});
      break;
    case Kind::tell_stopped: log.info("container stopped", {{"container", settings.name}}); break;
  }
}

// --- steps ---------------------------------------------------------------------------------------

net::Task<void> Container::Impl::run_step(Kind step) {
  if (step == Kind::look) {
    co_await look();
    co_return;
  }
  auto done = co_await do_step(step);
  if (closed) co_return;
  pulling.reset();
  step_ended = now();
  if (done) {
    perform(machine.done(now()));
  } else {
    Error error = std::move(done).error();
    auto fault = fault_of(step, error);
    if (machine.wanted()) {
      services.log.warn("container", {{"container", settings.name}, {"error", error.describe()}});
    }
    perform(machine.failed(now(), std::move(error), fault));
  }
  if (services.refresh) services.refresh();
}

net::Task<Result<void>> Container::Impl::do_step(Kind step) {
  switch (step) {
    case Kind::pull: co_return co_await pull({});
    case Kind::create: {
      services.log.info("container made",
                        {{"container", settings.name}, {"image", settings.image}});
      CORRAL_CO_TRY(id, co_await services.docker.create(settings.name, spec.body));
      co_return Result<void>();
    }
    case Kind::start: co_return co_await start();
    case Kind::stop: co_return co_await stop(false);
    case Kind::remove: co_return co_await stop(true);
    default: co_return Result<void>();
  }
}

net::Task<void> Container::Impl::look() {
  auto found = co_await find();
  if (closed) co_return;
  step_ended = now();
  if (!found) {
    Error error = std::move(found).error();
    auto fault = fault_of(Kind::look, error);
    perform(machine.failed(now(), std::move(error), fault));
    co_return;
  }
  adopted = found->exists && found->ours && found->same_spec && found->running;
  if (adopted) {
    services.log.info("container taken over as it runs",
                      {{"container", settings.name}, {"id", id.substr(0, 12)}});
    follow_log(second());
  }
  perform(machine.looked(now(), *found));
}

net::Task<Result<ContainerFinding>> Container::Impl::find() {
  ContainerFinding finding;
  CORRAL_CO_TRY(auto details, co_await services.docker.inspect(settings.name));
  if (!details) {
    id.clear();
    CORRAL_CO_TRY(finding.image, co_await services.docker.has_image(settings.image));
    co_return finding;
  }
  finding.exists = true;
  finding.running = details->running;
  auto label = [&](std::string_view name) {
    auto found = details->labels.find(std::string(name));
    return found == details->labels.end() ? std::string() : found->second;
  };
  finding.ours = label(kNameLabel) == settings.name;
  finding.same_spec = label(kSpecLabel) == spec.digest;
  if (finding.ours) use(*details);
  // Without its port nobody reaches it: made anew it has one.
  if (finding.running && port == 0) finding.same_spec = false;
  co_return finding;
}

void Container::Impl::use(const ContainerDetails& details) {
  id = details.id;
  auto found = details.host_ports.find(settings.port);
  port = found == details.host_ports.end() ? std::uint16_t{0} : found->second;
}

net::Task<Result<void>> Container::Impl::pull(Report report) {
  services.log.info("pulling an image", {{"container", settings.name}, {"image", settings.image}});
  pulling.emplace();
  auto progress = [this, report = std::move(report)](const PullMeter& meter) {
    pulling = PullState{meter.status(), meter.done(), meter.total()};
    if (report) report(*pulling);
  };
  co_return co_await services.docker.pull(settings.image, std::move(progress));
}

net::Task<Result<void>> Container::Impl::start() {
  std::int64_t from = second();
  tail.clear();
  CORRAL_CO_CHECK(co_await services.docker.start(settings.name));
  CORRAL_CO_TRY(auto details, co_await services.docker.inspect(settings.name));
  if (!details) co_return fail(ErrorCode::upstream, "the container is gone");
  use(*details);
  follow_log(from);
  if (!details->running) co_return std::unexpected(end_reason(*details, tail));
  if (port == 0) {
    co_return fail(ErrorCode::invalid_argument,
                   fmt::format("its port {} is not bound on this host", settings.port))
        .hint("a container needs a network with ports (bridge)");
  }
  co_return Result<void>();
}

net::Task<Result<void>> Container::Impl::stop(bool and_remove) {
  CORRAL_CO_TRY(auto details, co_await services.docker.inspect(settings.name));
  if (!details) {
    id.clear();
    port = 0;
    co_return Result<void>();
  }
  auto label = details->labels.find(std::string(kNameLabel));
  if (label == details->labels.end() || label->second != settings.name) {
    co_return fail(ErrorCode::conflict, "the container of that name was not made by Corral")
        .hint("stop or remove it with docker itself, if that is meant");
  }
  CORRAL_CO_CHECK(co_await services.docker.stop(details->id, settings.stop_timeout));
  ++log_run;
  logs.cancel();
  port = 0;
  if (!and_remove) co_return Result<void>();
  CORRAL_CO_CHECK(co_await services.docker.remove(details->id));
  id.clear();
  co_return Result<void>();
}

// --- watching ------------------------------------------------------------------------------------

net::Task<void> Container::Impl::check() {
  bool well = co_await answers(settings, port);
  if (!closed) perform(machine.health(now(), well));
}

net::Task<void> Container::Impl::measure() {
  if (!is_up() || id.empty()) {
    usage.reset();
    co_return;
  }
  auto measured = co_await services.docker.usage(id);
  if (measured) usage = *measured;
}

// The list says that it does not run; what became of it is asked.
net::Task<void> Container::Impl::ended() {
  auto details = co_await services.docker.inspect(settings.name);
  asking_end = false;
  if (closed || !details || machine.busy() || !is_up()) co_return;
  if (*details && (*details)->running && (*details)->id == id) co_return;
  ++log_run;
  logs.cancel();
  port = 0;
  Error reason = *details ? end_reason(**details, tail)
                          : Error(fail(ErrorCode::unavailable, "it was removed by somebody"));
  perform(machine.ended(now(), std::move(reason)));
}

void Container::Impl::follow_log(std::int64_t from) {
  logs.cancel();
  logs.spawn(read_log(from, ++log_run));
}

// Until another run of the container is followed instead.
net::Task<void> Container::Impl::read_log(std::int64_t from, unsigned run) {
  std::string of = settings.name;
  for (;;) {
    LineSplitter out, err;
    auto line = [this](std::string_view text) { log_line(text); };
    auto take = [&](LogStream stream, std::string_view text) {
      (stream == LogStream::err ? err : out).feed(text, line);
    };
    auto ended = co_await services.docker.logs(of, {.since = from, .follow = true}, take);
    if (closed || run != log_run) co_return;
    if (!ended && ended.error().code == ErrorCode::cancelled) co_return;
    out.finish(line);
    err.finish(line);
    from = second();
    auto slept = co_await net::sleep_for(kLogAgain);
    if (!slept || closed || run != log_run || !is_up()) co_return;
  }
}

void Container::Impl::log_line(std::string_view line) {
  EngineLine parsed = parse_engine_line(line);
  bool known = parsed.text.size() != line.size();           // llama-server's form
  if (known && parsed.level == EngineLevel::debug) return;  // may hold prompts
  tail.add(parsed.text);
  unsigned dropped = 0;
  bool passes = budget.take(now(), dropped);
  if (dropped > 0) {
    services.log.warn("the container wrote too much; lines were dropped",
                      {{"container", settings.name}, {"lines", dropped}});
  }
  if (!passes) return;
  auto level = telemetry::LogLevel::info;
  if (known && parsed.level == EngineLevel::info) level = telemetry::LogLevel::debug;
  if (known && parsed.level == EngineLevel::warning) level = telemetry::LogLevel::warn;
  if (known && parsed.level == EngineLevel::error) level = telemetry::LogLevel::error;
  services.log.write(level, parsed.text, {{"container", settings.name}});
}

// --- the container -------------------------------------------------------------------------------

Container::Container(config::ContainerSettings settings, ContainerServices services,
                     Listener listener, ContainerPolicy policy)
    : impl_(std::make_unique<Impl>(std::move(settings), std::move(services), std::move(listener),
                                   policy)) {}

Container::~Container() = default;

void Container::start() { impl_->perform(impl_->machine.start(impl_->now())); }
void Container::stop() { impl_->perform(impl_->machine.stop(impl_->now())); }
void Container::restart() { impl_->perform(impl_->machine.restart(impl_->now())); }
void Container::remove() { impl_->perform(impl_->machine.remove(impl_->now())); }

net::Task<Result<void>> Container::settled() {
  for (;;) {
    auto state = impl_->machine.state();
    bool over = !impl_->machine.busy() && state != ContainerState::starting;
    if (over || impl_->closed) {
      if (state != ContainerState::failed && state != ContainerState::backing_off) break;
      auto why = impl_->machine.last_error();
      Error error = why ? *why : Error(fail(ErrorCode::internal, "it failed"));
      error.message = fmt::format("the container {}: {}", impl_->settings.name, error.message);
      co_return std::unexpected(std::move(error));
    }
    auto wakeup = net::Wakeup::create();
    impl_->waiters.push_back(wakeup);
    bool woken = co_await wakeup->wait();
    if (!woken) co_return fail(ErrorCode::cancelled, "the caller left");
  }
  co_return Result<void>();
}

net::Task<Result<void>> Container::pull(Report report) {
  if (impl_->pulling) co_return fail(ErrorCode::conflict, "its image is being pulled already");
  auto done = co_await impl_->pull(std::move(report));
  impl_->pulling.reset();
  co_return done;
}

net::Task<void> Container::measure() { co_await impl_->measure(); }

void Container::seen(const Listing& listing) {
  auto& self = *impl_;
  if (!self.is_up() || self.machine.busy() || self.asking_end) return;
  if (listing.asked <= self.step_ended) return;
  for (const auto& each : listing.containers) {
    if (each.id == self.id && each.running()) return;
  }
  self.asking_end = true;
  if (!self.tasks.spawn(self.ended())) self.asking_end = false;
}

net::Task<void> Container::close() {
  impl_->closed = true;
  for (auto& waiter : std::exchange(impl_->waiters, {})) waiter->notify();
  co_await impl_->timer.close();
  co_await impl_->steps.close();
  co_await impl_->logs.close();
  co_await impl_->tasks.close();
}

const config::ContainerSettings& Container::settings() const { return impl_->settings; }

ContainerInfo Container::info() const {
  ContainerInfo info;
  info.state = impl_->machine.state();
  info.since = impl_->since;
  info.id = impl_->id;
  info.port = impl_->port;
  info.adopted = impl_->adopted;
  info.restarts = impl_->machine.restarts();
  info.last_error = impl_->machine.last_error();
  info.pull = impl_->pulling;
  info.usage = impl_->usage;
  return info;
}

}  // namespace corral::engines::docker

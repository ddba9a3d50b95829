#include "engines/instance.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <utility>
#include <vector>

#include "engines/core/engine_limits.hpp"
#include "engines/core/engine_log.hpp"
#include "engines/rpc_servers.hpp"
#include "engines/wake_timer.hpp"
#include "net/http_client.hpp"
#include "net/one_shot.hpp"
#include "sys/ports.hpp"
#include "sys/random.hpp"

namespace corral::engines {
namespace {

constexpr unsigned kLogLinesPerSecond = 200;
constexpr std::size_t kKeyBytes = 32;

InstancePolicy policy_of(const config::LlamaServerSettings& settings) {
  InstancePolicy policy;
  policy.start_timeout = settings.start_timeout;
  policy.stop_timeout = settings.stop_timeout;
  policy.restart_backoff = settings.restart_backoff;
  policy.restart_backoff_max = settings.restart_backoff_max;
  policy.restart_limit = settings.restart_limit;
  return policy;
}

telemetry::LogLevel log_level(EngineLevel level) {
  switch (level) {
    case EngineLevel::error: return telemetry::LogLevel::error;
    case EngineLevel::warning: return telemetry::LogLevel::warn;
    // Some hundred lines a start and several a request: of interest when something is being sought.
    case EngineLevel::info: return telemetry::LogLevel::debug;
    case EngineLevel::debug: return telemetry::LogLevel::off;
  }
  return telemetry::LogLevel::off;
}

// One process from spawn to exit, shared by the coroutines that watch it.
struct Life {
  std::unique_ptr<sys::LimitedGroup> group;  // ends after the child
  std::unique_ptr<sys::ChildProcess> child;
  sys::LimitWays limited_by;
  bool passed_limit = false;
  InstanceAddress address;
  LineSplitter splitter;
  LogTail tail;
  LineBudget budget{kLogLinesPerSecond};
};

}  // namespace

struct Instance::Impl {
  Impl(InstanceSpec spec_, InstanceServices services_, Listener listener_)
      : spec(std::move(spec_)),
        services(std::move(services_)),
        listener(std::move(listener_)),
        log(services.log.named("engine")),
        machine(policy_of(spec.settings)),
        tasks(services.shard),
        timer(services.shard, services.clock, [this] { perform(machine.tick(now())); }) {
    state_since = services.clock.wall();
  }

  // Actions may lead to events and these to more actions; they are performed one after the other.
  void perform(Actions actions);
  void perform_one(const Action& action);
  void note_state();
  void wake_waiters();

  Actions spawn();
  Result<std::shared_ptr<Life>> try_spawn(Fault& fault);
  void terminate();
  void limit(Life& started, sys::SpawnSpec& child) const;
  Error told(std::string_view what, const Error& reason) const;

  // Reads until nothing is there now; false at the end.
  bool read_output(Life& life);
  void log_line(Life& life, std::string_view line);

  net::Task<void> reach_then_spawn();
  net::Task<void> watch_exit(std::shared_ptr<Life> watched);
  net::Task<std::optional<sys::ExitStatus>> exit_of(std::shared_ptr<Life> watched);
  net::Task<void> watch_output(std::shared_ptr<Life> watched);
  net::Task<void> watch_memory(std::shared_ptr<Life> watched);
  net::Task<void> check_health(std::shared_ptr<Life> checked);
  net::Task<Health> ask_health(std::shared_ptr<Life> asked);
  net::HttpTarget target(const Life& of) const;

  sys::Steady now() const { return services.clock.now(); }

  const InstanceSpec spec;
  InstanceServices services;
  Listener listener;
  telemetry::Logger log;
  InstanceMachine machine;
  InstanceState noted_state = InstanceState::stopped;
  sys::Wall state_since;
  std::shared_ptr<Life> life;
  std::deque<Action> queue;
  bool performing = false;
  bool closed = false;
  std::vector<std::shared_ptr<net::Wakeup>> waiters;
  net::TaskGroup tasks;
  WakeTimer timer;
};

void Instance::Impl::perform(Actions actions) {
  std::ranges::move(actions, std::back_inserter(queue));
  if (performing) return;
  performing = true;
  while (!queue.empty()) {
    Action action = std::move(queue.front());
    queue.pop_front();
    note_state();
    perform_one(action);
  }
  performing = false;
  note_state();
  timer.set(machine.wake_at());
  wake_waiters();
}

void Instance::Impl::perform_one(const Action& action) {
  switch (action.kind) {
    case ActionKind::spawn:
      if (spec.rpc.empty()) {
        std::ranges::move(spawn(), std::back_inserter(queue));
      } else {
        tasks.spawn(reach_then_spawn());
      }
      break;
    case ActionKind::check_health:
      if (life) tasks.spawn(check_health(life));
      break;
    case ActionKind::terminate: terminate(); break;
    case ActionKind::kill:
      log.warn("killing the engine", {{"model", spec.name}});
      if (life) life->child->kill_group();
      break;
    case ActionKind::tell_ready:
      log.info("engine ready",
               {{"model", spec.name}, {"pid", life->child->pid()}, {"port", life->address.port}});
      if (listener.ready) listener.ready(life->address);
      break;
    case ActionKind::tell_down:
      if (listener.down) listener.down(told("stopped serving", *action.reason));
      break;
    case ActionKind::tell_failed: {
      Error error = told("could not be started", *action.reason);
      log.error(error.describe(), {{"model", spec.name}});
      if (listener.failed) listener.failed(error);
      break;
    }
    case ActionKind::tell_stopped:
      log.info("engine stopped", {{"model", spec.name}});
      if (listener.stopped) listener.stopped();
      break;
  }
}

Error Instance::Impl::told(std::string_view what, const Error& reason) const {
  Error error = reason;
  error.message = fmt::format("the model '{}' {}: {}", spec.name, what, reason.message);
  return error;
}

void Instance::Impl::note_state() {
  if (machine.state() == noted_state) return;
  noted_state = machine.state();
  state_since = services.clock.wall();
}

void Instance::Impl::wake_waiters() {
  if (machine.state() != InstanceState::stopped && machine.state() != InstanceState::failed) return;
  for (auto& waiter : std::exchange(waiters, {})) waiter->notify();
}

net::Task<void> Instance::Impl::reach_then_spawn() {
  auto reached = co_await reach_rpc_servers(spec.rpc);
  // Stopped or timed out meanwhile? Then nothing is to be started.
  if (reached && machine.state() == InstanceState::starting) {
    perform(spawn());
    co_return;
  }
  Error why = reached ? Error(fail(ErrorCode::cancelled, "the start was called off"))
                      : std::move(reached).error();
  const Fault fault = why.code == ErrorCode::invalid_argument ? Fault::permanent : Fault::crash;
  perform(machine.spawn_failed(now(), std::move(why), fault));
}

Actions Instance::Impl::spawn() {
  Fault fault = Fault::crash;
  auto started = try_spawn(fault);
  if (!started) return machine.spawn_failed(now(), std::move(started).error(), fault);
  life = std::move(*started);
  log.info("engine starting",
           {{"model", spec.name}, {"pid", life->child->pid()}, {"port", life->address.port}});
  tasks.spawn(watch_exit(life));
  tasks.spawn(watch_output(life));
  if (life->limited_by.memory == sys::LimitWay::watch) tasks.spawn(watch_memory(life));
  return machine.spawned(now());
}

Result<std::shared_ptr<Life>> Instance::Impl::try_spawn(Fault& fault) {
  auto started = std::make_shared<Life>();
  CORRAL_TRY(started->address.port, sys::free_loopback_port());
  started->address.api_key.value = sys::random_hex(kKeyBytes);
  fault = Fault::permanent;  // What follows would fail the same way again.
  CORRAL_CHECK(services.files.stat(spec.model_file));
  if (!spec.projector.empty()) CORRAL_CHECK(services.files.stat(spec.projector));
  for (const models::FileIdentity& file : spec.files) {
    CORRAL_TRY(auto there, services.files.stat(file.path));
    CORRAL_CHECK(models::check_unchanged(file, there));
  }
  CORRAL_TRY(auto program, find_llama_server(services.files, spec.settings, services.cache_folder));
  CORRAL_TRY(auto arguments,
             llama_server_arguments(spec, started->address.port, services.physical_cores));
  sys::SpawnSpec asked{.program = program,
                       .arguments = std::move(arguments),
                       .environment = llama_server_environment(sys::environment_without({}),
                                                               started->address.api_key),
                       .capture_stderr = true};
  limit(*started, asked);
  auto child = services.processes.spawn(asked);
  if (!child) {
    if (child.error().code == ErrorCode::io) fault = Fault::crash;
    return std::unexpected(std::move(child).error());
  }
  started->child = std::move(*child);
  return started;
}

void Instance::Impl::limit(Life& started, sys::SpawnSpec& child) const {
  constexpr unsigned kBeforeUs = 300;
  child.ended_before_us = kBeforeUs;
  const sys::LimitWishes wishes = limits_of(spec);
  if (services.limits != nullptr) {
    started.group = services.limits->create(wishes);
    started.limited_by = started.group->ways();
    child.join = started.group->join_files();
  }
  auto& by = started.limited_by;
  if (wishes.memory > 0 && by.memory == sys::LimitWay::none) by.memory = sys::LimitWay::watch;
  if (wishes.processors > 0 && by.processors == sys::LimitWay::none) {
    by.processors = sys::LimitWay::threads;
  }
  if (wishes.io_weight > 0 && by.io == sys::LimitWay::none) {
    by.io = sys::LimitWay::priority;
    child.io_level = io_level(wishes.io_weight);
  }
}

// Where the system keeps no limit: what is not a file's must stay below it.
net::Task<void> Instance::Impl::watch_memory(std::shared_ptr<Life> watched) {
  constexpr auto kStep = std::chrono::milliseconds(100);
  const std::uint64_t most = memory_limit(spec);
  for (;;) {
    auto slept = co_await net::sleep_for(kStep);
    if (!slept || life != watched) co_return;
    if (watched->child->usage().private_bytes <= most) continue;
    watched->passed_limit = true;
    watched->child->kill_group();
    co_return;
  }
}

net::Task<std::optional<sys::ExitStatus>> Instance::Impl::exit_of(std::shared_ptr<Life> watched) {
  constexpr auto kRetry = std::chrono::milliseconds(200);
  for (;;) {
    auto ended = co_await net::wait_readable(watched->child->exit_fd());
    if (!ended && ended.error().code == ErrorCode::cancelled) co_return std::nullopt;
    if (auto status = watched->child->try_wait()) co_return status;
    // The event loop could not take the descriptor: look now and then instead.
    auto slept = co_await net::sleep_for(kRetry);
    if (!slept) co_return std::nullopt;
  }
}

// llama-server ends 100 ms later if somebody still holds an idle connection to it.
void Instance::Impl::terminate() {
  if (!life) return;
  auto let_go = [of = target(*life)](net::Shard&) { net::shard_client().forget(of); };
  let_go(services.shard);
  if (services.shards != nullptr) services.shards->post_all(let_go);
  auto sent = life->child->send(sys::Signal::terminate);
  if (!sent) log.warn(sent.error().message, {{"model", spec.name}});
}

net::Task<void> Instance::Impl::watch_exit(std::shared_ptr<Life> watched) {
  auto status = co_await exit_of(watched);
  if (!status) co_return;
  read_output(*watched);  // its last words come before the news of its end
  net::shard_client().forget(target(*watched));
  auto [reason, fault] =
      diagnose({.by_signal = status->by_signal, .code = status->code, .text = status->describe()},
               watched->tail);
  constexpr int kKilled = 9;
  const bool killed = status->by_signal && status->code == kKilled;
  if (killed && watched->group) watched->passed_limit |= watched->group->ran_out_of_memory();
  if (watched->passed_limit) {
    reason = passed_memory_limit(spec).because(watched->tail.text());
    fault = Fault::crash;
  }
  bool asked_for =
      machine.state() == InstanceState::stopping || machine.state() == InstanceState::killing;
  if (!asked_for)
    log.warn(reason.describe(), {{"model", spec.name}, {"pid", watched->child->pid()}});
  if (life == watched) life.reset();
  perform(machine.exited(now(), std::move(reason), fault));
}

net::Task<void> Instance::Impl::watch_output(std::shared_ptr<Life> watched) {
  for (;;) {
    auto readable = co_await net::wait_readable(watched->child->stderr_fd());
    if (!readable || !read_output(*watched)) co_return;
  }
}

bool Instance::Impl::read_output(Life& from) {
  constexpr int kPiecesATurn = 16;  // then others on this shard have their turn
  std::array<char, 16 * 1024> buffer;
  auto sink = [&](std::string_view line) { log_line(from, line); };
  for (int piece = 0; piece < kPiecesATurn; ++piece) {
    auto got = sys::read_available(from.child->stderr_fd(), buffer);
    if (!got) return true;
    if (*got == 0) {
      from.splitter.finish(sink);
      return false;
    }
    from.splitter.feed(std::string_view(buffer.data(), *got), sink);
  }
  return true;
}

void Instance::Impl::log_line(Life& from, std::string_view line) {
  EngineLine parsed = parse_engine_line(line);
  if (parsed.level == EngineLevel::debug) return;  // may hold prompts
  from.tail.add(parsed.text);
  unsigned dropped = 0;
  bool passes = from.budget.take(now(), dropped);
  if (dropped > 0)
    log.warn("the engine wrote too much; lines were dropped",
             {{"model", spec.name}, {"lines", dropped}});
  if (passes) log.write(log_level(parsed.level), parsed.text, {{"model", spec.name}});
}

net::HttpTarget Instance::Impl::target(const Life& of) const {
  net::HttpTarget to;
  to.host = of.address.host;
  to.port = of.address.port;
  return to;
}

net::Task<void> Instance::Impl::check_health(std::shared_ptr<Life> checked) {
  Health answer = co_await ask_health(checked);
  if (life != checked) co_return;  // it ended meanwhile
  // A stranger that took the port would be given prompts and the key: believe only our own child.
  if (answer == Health::ok && machine.state() == InstanceState::starting &&
      sys::group_listens_on(checked->child->pid(), checked->address.port) == false)
    answer = Health::loading;
  perform(machine.health(now(), answer));
}

net::Task<Health> Instance::Impl::ask_health(std::shared_ptr<Life> asked) {
  constexpr net::HttpTimeouts kTimeouts{.connect = std::chrono::milliseconds(2'000),
                                        .first_byte = std::chrono::milliseconds(10'000),
                                        .between_bytes = std::chrono::milliseconds(5'000)};
  constexpr std::uint64_t kMaxAnswer = 64 * 1024;
  net::HttpTarget to = target(*asked);
  net::ClientRequest request;
  request.path = "/health";
  auto answer = co_await net::shard_client().send(to, request, kTimeouts);
  if (!answer) co_return Health::unanswered;
  auto body = co_await (*answer)->read_all(kMaxAnswer);
  if (!body) co_return Health::unanswered;
  co_return (*answer)->status() == 200 ? Health::ok : Health::loading;
}

Instance::Instance(InstanceSpec spec, InstanceServices services, Listener listener)
    : impl_(std::make_unique<Impl>(std::move(spec), std::move(services), std::move(listener))) {}

Instance::~Instance() = default;

void Instance::start() {
  if (!impl_->closed) impl_->perform(impl_->machine.start(impl_->now()));
}

void Instance::stop() { impl_->perform(impl_->machine.stop(impl_->now())); }

InstanceState Instance::state() const { return impl_->machine.state(); }

InstanceInfo Instance::info() const {
  InstanceInfo info;
  info.state = impl_->machine.state();
  info.since = impl_->state_since;
  info.restarts = impl_->machine.restarts();
  info.last_error = impl_->machine.last_error();
  if (!impl_->life) return info;
  info.pid = impl_->life->child->pid();
  info.port = impl_->life->address.port;
  sys::ProcessUsage usage = impl_->life->child->usage();
  info.resident_bytes = usage.resident_bytes;
  info.cpu_time = usage.cpu_time;
  info.limited_by = impl_->life->limited_by;
  if (info.limited_by.memory != sys::LimitWay::none) info.memory_limit = memory_limit(impl_->spec);
  return info;
}

const InstanceSpec& Instance::spec() const { return impl_->spec; }

net::Task<void> Instance::stopped() {
  while (state() != InstanceState::stopped && state() != InstanceState::failed) {
    auto wakeup = net::Wakeup::create();
    impl_->waiters.push_back(wakeup);
    bool woken = co_await wakeup->wait();
    if (!woken) co_return;
  }
}

net::Task<void> Instance::close() {
  impl_->closed = true;
  stop();
  co_await stopped();
  // Still there only if this coroutine was cancelled: then there is no time for manners.
  if (impl_->life) impl_->life->child->kill_group();
  impl_->life.reset();
  co_await impl_->timer.close();
  co_await impl_->tasks.close();
}

}  // namespace corral::engines

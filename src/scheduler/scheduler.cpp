#include "scheduler/scheduler.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "net/snapshot.hpp"
#include "scheduler/accelerators.hpp"
#include "scheduler/scheduler_impl.hpp"
#include "sys/host.hpp"

namespace corral::scheduler {
namespace {

constexpr std::chrono::milliseconds kSweep{500};

// Posts `work` to the control shard when a coroutine goes before its time.
class Leaving {
 public:
  Leaving(net::Shard& control, std::function<void()> work)
      : control_(control), work_(std::move(work)) {}
  ~Leaving() {
    if (work_) control_.post(std::move(work_));
  }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;
  void forget() { work_ = nullptr; }

 private:
  net::Shard& control_;
  std::function<void()> work_;
};

}  // namespace

Scheduler::Scheduler(SchedulerParts parts, std::shared_ptr<const config::Settings> settings)
    : impl_(std::make_shared<Impl>(std::move(parts), std::move(settings))) {}

Scheduler::~Scheduler() = default;

net::Task<Result<void>> Scheduler::start() {
  const auto& parts = impl_->parts;
  AcceleratorSearch search{
      parts.pool,         parts.files,  parts.processes, parts.log, impl_->settings->llama_server,
      parts.cache_folder, parts.devices};
  auto found = co_await find_devices(std::move(search));
  impl_->accelerators = std::move(found.accelerators);
  impl_->numa_nodes = found.numa_nodes;
  CORRAL_CO_CHECK(co_await impl_->watch_models());
  impl_->publish();
  impl_->parts.shards.control().every(kSweep, [weak = std::weak_ptr(impl_)] {
    if (auto impl = weak.lock()) impl->sweep();
  });
  impl_->preload();
  co_return Result<void>{};
}

void Scheduler::reload(std::shared_ptr<const config::Settings> settings) {
  impl_->reload(std::move(settings));
}

void Scheduler::refresh_models() {
  impl_->parts.shards.control().post([weak = std::weak_ptr(impl_)] {
    auto impl = weak.lock();
    if (impl && impl->watch) impl->watch->refresh();
  });
}

void Scheduler::set_routed(std::vector<ModelStatus> models) {
  impl_->set_routed(std::move(models));
}

void Scheduler::set_leases(std::vector<MemoryLease> leases) {
  impl_->set_leases(std::move(leases));
}

void Scheduler::restart(const std::string& model) { impl_->restart(model); }

net::Task<void> Scheduler::stop() { co_await impl_->stop(); }

gateway::Target Scheduler::ready(const ModelName& model, inference::Operation operation) const {
  const auto& targets = impl_->catalog.local()->targets(operation);
  auto it = targets.find(model.str());
  return it == targets.end() ? gateway::Target{} : it->second.choose();
}

net::Task<Result<gateway::Target>> Scheduler::ensure(ModelName model,
                                                     inference::Operation operation,
                                                     gateway::OnWait on_wait) {
  auto waiter =
      ModelWaiter::create(on_wait ? ModelWaiter::Wants::progress : ModelWaiter::Wants::outcome);
  TicketId ticket = ++impl_->last_ticket;
  impl_->parts.shards.control().post(
      [impl = impl_, waiter, model = std::move(model), operation, ticket] {
        impl->want(model.str(), operation, waiter, ticket);
      });
  // However it goes from here on.
  Leaving leaving(impl_->parts.shards.control(), [impl = impl_, ticket] { impl->leave(ticket); });
  for (;;) {
    auto news = co_await waiter->next();
    if (!news) co_return std::unexpected(fail(ErrorCode::cancelled, "the client left"));
    if (auto* outcome = std::get_if<ModelWaiter::Outcome>(&*news)) {
      leaving.forget();
      co_return std::move(*outcome);
    }
    co_await on_wait(std::get<gateway::QueuePlace>(*news));
  }
}

std::shared_ptr<const Catalog> Scheduler::catalog() const { return impl_->catalog.local(); }

net::Task<Result<ModelDetails>> Scheduler::details(std::string model) {
  auto slot = net::OneShot<Result<ModelDetails>>::create();
  impl_->parts.shards.control().post(
      [impl = impl_, slot, model = std::move(model)] { slot->fulfil(impl->details(model)); });
  auto result = co_await slot->wait_uncancellable();
  co_return std::move(*result);
}

net::Task<Result<void>> Scheduler::unload(std::string model) {
  auto slot = net::OneShot<Result<void>>::create();
  impl_->parts.shards.control().post(
      [impl = impl_, slot, model = std::move(model)] { impl->unload(model, slot); });
  auto result = co_await slot->wait_uncancellable();
  co_return std::move(*result);
}

net::Task<std::vector<InstanceStatus>> Scheduler::instances() {
  auto slot = net::OneShot<std::vector<InstanceStatus>>::create();
  impl_->parts.shards.control().post([impl = impl_, slot] { slot->fulfil(impl->instances()); });
  auto result = co_await slot->wait_uncancellable();
  co_return std::move(*result);
}

net::Task<ScalingStatus> Scheduler::scaling() {
  auto slot = net::OneShot<ScalingStatus>::create();
  impl_->parts.shards.control().post(
      [impl = impl_, slot] { slot->fulfil(impl->scaling_status()); });
  auto result = co_await slot->wait_uncancellable();
  co_return std::move(*result);
}

}  // namespace corral::scheduler

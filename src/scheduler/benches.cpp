#include "scheduler/benches.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "sys/host.hpp"

namespace corral::scheduler {
namespace {

constexpr std::size_t kKept = 100;
constexpr std::chrono::milliseconds kLook{10};

}  // namespace

Benches::Benches(BenchesParts parts)
    : parts_(std::move(parts)), host_(sys::host_facts().hostname), tasks_(parts_.control) {}

net::Task<Result<void>> Benches::start() { return reload_tuned(); }

net::Task<Result<void>> Benches::reload_tuned() {
  using Found = Result<std::vector<models::TunedSettings>>;
  std::function<Found()> read = [this] { return parts_.tuned.of_host(host_); };
  auto found = co_await net::run_blocking<Found>(parts_.pool, std::move(read));
  if (!found) co_return std::unexpected(std::move(found).error());
  parts_.scheduler.set_tuned(std::move(*found));
  co_return Result<void>();
}

// The one that runs gives its memory back first.
net::Task<void> Benches::stop() {
  stopping_ = true;
  while (run_) {
    run_->cancel();
    if (!co_await net::sleep_for(kLook)) break;
  }
  co_await tasks_.close();
}

// --- begin and end -------------------------------------------------------------------------------

net::Task<Result<BenchView>> Benches::begin(std::string model, BenchOptions options) {
  std::function<Result<BenchView>()> work = [this, model, options] {
    return begin_here(model, options);
  };
  co_return co_await net::call_on(parts_.control, std::move(work));
}

Result<BenchView> Benches::begin_here(const std::string& model, const BenchOptions& options) {
  if (stopping_) return fail(ErrorCode::unavailable, "the server is shutting down");
  CORRAL_CHECK(check(options));
  BenchWish wish{model, options.purpose, std::nullopt};
  if (options.tune) wish.choice = models::EngineChoice{};
  CORRAL_TRY(auto plan, parts_.scheduler.plan_bench(wish));
  CORRAL_TRY(auto resolved, resolve(options, plan));
  if (run_) {
    return fail(ErrorCode::conflict,
                fmt::format("{} is running, and two would measure each other", running_))
        .hint(fmt::format("wait for it, or end it: corral operations cancel {}", running_));
  }
  BenchView view;
  view.model = plan.model;
  view.tune = options.tune;
  view.state = "running";
  view.started = parts_.clock.wall();
  {
    std::lock_guard lock(mutex_);
    view.id = fmt::format("bench-{}", ++begun_);
    views_.push_back(view);
    if (views_.size() > kKept) views_.pop_front();
  }
  running_ = view.id;
  auto tell = [this, id = view.id](std::string stage, std::chrono::seconds remaining) {
    change(id, [&](BenchView& it) {
      it.stage = stage;
      it.remaining = remaining;
    });
  };
  run_ = std::make_unique<BenchRun>(
      BenchRun::Parts{parts_.scheduler, parts_.control, parts_.clock, std::move(tell)}, plan,
      std::move(resolved));
  tasks_.spawn(drive(view.id, std::move(plan)));
  parts_.log.info("benchmark begun", {{"model", view.model}, {"operation", view.id}});
  return view;
}

net::Task<void> Benches::drive(std::string id, BenchPlan plan) {
  auto report = co_await run_->run();
  Result<void> done;
  if (report) {
    report->operation = id;
    done = co_await keep(std::move(plan), std::move(*report));
  } else {
    done = std::unexpected(report.error());
  }
  change(id, [&](BenchView& view) {
    view.finished = parts_.clock.wall();
    view.remaining.reset();
    const bool cancelled = !done && done.error().code == ErrorCode::cancelled;
    view.state = done ? "succeeded" : cancelled ? "cancelled" : "failed";
    if (!done && !cancelled) view.error = done.error();
  });
  if (done) {
    parts_.log.info("benchmark finished", {{"operation", id}});
  } else {
    parts_.log.warn("benchmark ended", {{"operation", id}, {"why", done.error().describe()}});
  }
  run_.reset();
}

// What a search that tried something says replaces what the one before had said.
net::Task<Result<void>> Benches::keep(BenchPlan plan, models::BenchReport report) {
  std::function<Result<void>()> work = [this, plan, report]() -> Result<void> {
    CORRAL_CHECK(parts_.history.add_benchmark(plan.model, models::to_body(report)));
    if (!report.search) return {};
    const auto& outcome = report.search->outcome;
    if (outcome.better) {
      models::TunedSettings found;
      found.model = plan.model;
      found.host = host_;
      found.machine = report.machine.mark();
      found.file = plan.file;
      found.choice = outcome.choice;
      found.note = outcome.why;
      CORRAL_CHECK(parts_.tuned.put(std::move(found)));
    } else if (report.search->tried.size() > 1) {
      CORRAL_CHECK(parts_.tuned.forget(plan.model, host_));
    }
    return {};
  };
  const bool searched = report.search.has_value();
  auto kept = co_await net::run_blocking<Result<void>>(parts_.pool, std::move(work));
  if (!kept || !searched) co_return kept;
  co_return co_await reload_tuned();
}

// --- what others ask -----------------------------------------------------------------------------

void Benches::change(const std::string& id, const std::function<void(BenchView&)>& how) {
  std::lock_guard lock(mutex_);
  auto found = std::ranges::find(views_, id, &BenchView::id);
  if (found != views_.end()) how(*found);
}

std::vector<BenchView> Benches::list() const {
  std::lock_guard lock(mutex_);
  return {views_.rbegin(), views_.rend()};
}

std::optional<BenchView> Benches::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto found = std::ranges::find(views_, id, &BenchView::id);
  if (found == views_.end()) return std::nullopt;
  return *found;
}

// Answers when it has ended.
net::Task<Result<BenchView>> Benches::cancel(std::string id) {
  std::function<bool()> work = [this, id] {
    const bool runs = run_ && running_ == id;
    if (runs) run_->cancel();
    return runs;
  };
  const bool told = co_await net::call_on(parts_.control, std::move(work));
  auto view = find(id);
  if (!view) co_return fail(ErrorCode::not_found, fmt::format("there is no benchmark '{}'", id));
  if (!told) {
    co_return fail(ErrorCode::conflict, fmt::format("{} is over: it {}", id, view->state));
  }
  while (view && !view->finished) {
    if (!co_await net::sleep_for(kLook)) break;
    view = find(id);
  }
  co_return std::move(*view);
}

std::string Benches::name_of(const std::string& model) const {
  const auto catalog = parts_.scheduler.catalog();
  const auto* status = catalog->find(model);
  return status == nullptr ? model : status->name;
}

net::Task<Result<bool>> Benches::forget(std::string model) {
  const std::string name = name_of(model);
  std::function<Result<bool>()> work = [this, name] { return parts_.tuned.forget(name, host_); };
  auto there = co_await net::run_blocking<Result<bool>>(parts_.pool, std::move(work));
  if (!there) co_return there;
  using Done = std::optional<Result<void>>;
  std::function<net::Task<Result<void>>()> tell = [this] { return reload_tuned(); };
  Done told = co_await net::run_on<Result<void>>(parts_.control, tasks_, std::move(tell));
  if (told && !*told) co_return std::unexpected(told->error());
  co_return there;
}

net::Task<Result<BenchPast>> Benches::past(std::string model, int limit) {
  const std::string name = name_of(model);
  std::function<Result<BenchPast>()> work = [this, name, limit]() -> Result<BenchPast> {
    BenchPast out;
    out.model = name;
    CORRAL_TRY(out.results, parts_.history.benchmarks(name, limit));
    CORRAL_TRY(auto tuned, parts_.tuned.of_host(host_));
    auto found = std::ranges::find(tuned, name, &models::TunedSettings::model);
    if (found != tuned.end()) out.tuned = std::move(*found);
    return out;
  };
  auto out = co_await net::run_blocking<Result<BenchPast>>(parts_.pool, std::move(work));
  if (!out || !out->tuned) co_return out;
  // Of other files or another machine: void.
  std::function<bool()> look = [this, tuned = *out->tuned] {
    auto plan = parts_.scheduler.plan_bench({tuned.model, std::nullopt, std::nullopt});
    return plan && plan->file == tuned.file &&
           parts_.scheduler.bench_machine().mark() == tuned.machine;
  };
  const bool valid = co_await net::call_on(parts_.control, std::move(look));
  if (!valid) out->tuned.reset();
  co_return out;
}

}  // namespace corral::scheduler

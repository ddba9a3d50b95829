#include "api/admin/operations.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "api/admin/replies.hpp"
#include "base/stable_sort.hpp"
#include "base/time_text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::size_t kKept = 200;
constexpr std::chrono::milliseconds kLook{20};
constexpr std::chrono::seconds kCancelPatience{5};

}  // namespace

std::string_view Operation::state() const {
  if (!own_state.empty()) return own_state;
  if (!finished) return "running";
  return error ? "failed" : "succeeded";
}

namespace {

std::string_view past(OperationAction action) {
  switch (action) {
    case OperationAction::pause: return "paused";
    case OperationAction::resume: return "resumed";
    case OperationAction::cancel: return "cancelled";
  }
  return "changed";
}

void add_progress(bj::object& to, const OperationProgress& progress) {
  to["stage"] = text_or_null(progress.stage);
  to["model"] = text_or_null(progress.model);
  to["bytes_total"] = count_or_null(progress.bytes);
  to["bytes_done"] = progress.done;
  to["bytes_per_second"] = progress.rate;
  to["remaining_seconds"] =
      progress.remaining ? bj::value(progress.remaining->count()) : bj::value(nullptr);
  bj::array files;
  for (const auto& file : progress.files) {
    files.push_back(bj::object{{"name", file.name},
                               {"role", file.role},
                               {"bytes_total", count_or_null(file.bytes)},
                               {"bytes_done", file.done}});
  }
  to["files"] = std::move(files);
  if (!progress.detail.empty()) to["detail"] = progress.detail;
  if (progress.elapsed) to["elapsed_seconds"] = progress.elapsed->count();
}

}  // namespace

bj::object describe(const Operation& operation) {
  bj::object result{{"id", operation.id},
                    {"kind", operation.kind},
                    {"target", operation.target},
                    {"state", std::string(operation.state())},
                    {"started", format_time(operation.started)}};
  result["finished"] =
      operation.finished ? bj::value(format_time(*operation.finished)) : bj::value(nullptr);
  result["error"] = operation.error ? bj::value(operation.error->describe()) : bj::value(nullptr);
  if (operation.progress) add_progress(result, *operation.progress);
  return result;
}

void OperationHandle::report(OperationProgress progress) {
  std::lock_guard lock(mutex_);
  progress_ = std::move(progress);
}

std::optional<OperationProgress> OperationHandle::progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

bool OperationHandle::cancel() {
  if (cancelling_ == Cancelling::refused) return false;
  cancel_.store(true, std::memory_order_relaxed);
  return true;
}

Operations::Operations(net::Shard& control) : control_(control), tasks_(control) {}

std::string Operations::add(std::string kind, std::string target, Handle handle) {
  std::lock_guard lock(mutex_);
  Operation begun;
  begun.id = fmt::format("{}-{}", kind, ++begun_);
  begun.kind = std::move(kind);
  begun.target = std::move(target);
  begun.started = std::chrono::system_clock::now();
  if (handle != nullptr) handles_.emplace(begun.id, std::move(handle));
  operations_.push_back(std::move(begun));
  std::string id = operations_.back().id;
  if (operations_.size() > kKept) {
    handles_.erase(operations_.front().id);
    operations_.pop_front();
  }
  return id;
}

net::Task<Operation> Operations::run(std::string kind, std::string target, Work work,
                                     std::chrono::milliseconds patience) {
  std::string id = add(std::move(kind), std::move(target), nullptr);
  control_.post([this, id, work = std::move(work)] {
    if (!tasks_.spawn(perform(id, work))) {
      finish(id, fail(ErrorCode::unavailable, "the server is shutting down"));
    }
  });
  co_return co_await follow(std::move(id), patience);
}

net::Task<Operation> Operations::run_tracked(std::string kind, std::string target, TrackedWork work,
                                             Cancelling cancelling,
                                             std::chrono::milliseconds patience) {
  auto handle = std::make_shared<OperationHandle>(cancelling);
  std::string id = add(std::move(kind), std::move(target), handle);
  control_.post([this, id, work = std::move(work), handle] {
    Work bound = [work, handle] { return work(handle); };
    if (!tasks_.spawn(perform(id, bound))) {
      finish(id, fail(ErrorCode::unavailable, "the server is shutting down"));
    }
  });
  co_return co_await follow(std::move(id), patience);
}

// How it stands when it has ended, or after `patience`.
net::Task<Operation> Operations::follow(std::string id, std::chrono::milliseconds patience) {
  auto until = std::chrono::steady_clock::now() + patience;
  auto operation = find(id);
  while (operation && !operation->finished && std::chrono::steady_clock::now() < until) {
    if (!co_await net::sleep_for(kLook)) break;  // the client left; the work goes on
    operation = find(id);
  }
  co_return operation ? std::move(*operation) : Operation{};
}

net::Task<void> Operations::perform(std::string id, Work work) {
  auto result = co_await work();
  finish(id, std::move(result));
}

void Operations::finish(const std::string& id, Result<void> result) {
  std::lock_guard lock(mutex_);
  auto handle = handles_.extract(id);
  auto found = std::ranges::find(operations_, id, &Operation::id);
  if (found == operations_.end()) return;
  found->finished = std::chrono::system_clock::now();
  if (!handle.empty()) {
    found->progress = handle.mapped()->progress();
    bool cancelled = !result && result.error().code == ErrorCode::cancelled;
    if (cancelled && handle.mapped()->cancel_wanted()) found->own_state = "cancelled";
  }
  if (!result) found->error = std::move(result).error();
}

Operation Operations::seen(const Operation& operation) const {
  Operation copy = operation;
  auto handle = handles_.find(operation.id);
  if (handle != handles_.end()) copy.progress = handle->second->progress();
  return copy;
}

std::vector<Operation> Operations::list() const {
  std::vector<Operation> all;
  {
    std::lock_guard lock(mutex_);
    all.reserve(operations_.size());
    for (auto each = operations_.rbegin(); each != operations_.rend(); ++each) {
      all.push_back(seen(*each));
    }
  }
  if (sources_.empty()) return all;
  for (const auto* source : sources_) {
    for (auto& operation : source->list()) all.push_back(std::move(operation));
  }
  sort_stably(all, std::greater<>(), &Operation::started);
  return all;
}

Result<Operation> Operations::find(const std::string& id) const {
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find(operations_, id, &Operation::id);
    if (found != operations_.end()) return seen(*found);
  }
  for (const auto* source : sources_) {
    auto found = source->find(id);
    if (found) return std::move(*found);
  }
  return fail(ErrorCode::not_found, fmt::format("there is no operation '{}'", id))
      .hint("the last two hundred are kept; GET /admin/v1/operations lists them");
}

net::Task<Result<Operation>> Operations::act(std::string id, OperationAction action) {
  for (auto* source : sources_) {
    if (!source->find(id)) continue;
    co_return co_await source->act(std::move(id), action);
  }
  CORRAL_CO_TRY(auto found, find(id));
  Handle handle;
  {
    std::lock_guard lock(mutex_);
    auto running = handles_.find(id);
    if (running != handles_.end()) handle = running->second;
  }
  if (handle != nullptr && action == OperationAction::cancel && handle->cancel()) {
    co_return co_await follow(std::move(id), kCancelPatience);
  }
  co_return fail(ErrorCode::conflict,
                 fmt::format("an operation of the kind '{}' that is {} cannot be {}", found.kind,
                             found.state(), past(action)));
}

net::Task<void> Operations::stop() { co_await tasks_.close(); }

}  // namespace corral::api::admin

#include "api/admin/operations.hpp"

#include <fmt/core.h>
#include <algorithm>

#include "base/time_text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::size_t kKept = 200;
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

std::string_view Operation::state() const {
  if (!own_state.empty()) return own_state;
  if (!finished) return "running";
  return error ? "failed" : "succeeded";
}

namespace {

bj::value count_or_null(const std::optional<std::uint64_t>& count) {
  return count ? bj::value(*count) : bj::value(nullptr);
}

bj::value text_or_null(const std::string& text) {
  return text.empty() ? bj::value(nullptr) : bj::value(text);
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

Operations::Operations(net::Shard& control) : control_(control), tasks_(control) {}

net::Task<Operation> Operations::run(std::string kind, std::string target, Work work,
                                     std::chrono::milliseconds patience, ProgressOf progress) {
  std::string id;
  {
    std::lock_guard lock(mutex_);
    id = fmt::format("{}-{}", kind, ++begun_);
    Operation begun;
    begun.id = id;
    begun.kind = std::move(kind);
    begun.target = std::move(target);
    begun.started = std::chrono::system_clock::now();
    operations_.push_back(std::move(begun));
    if (progress) progress_.emplace(id, std::move(progress));
    if (operations_.size() > kKept) operations_.pop_front();
  }
  control_.post([this, id, work = std::move(work)] {
    if (!tasks_.spawn(perform(id, work))) {
      finish(id, fail(ErrorCode::unavailable, "the server is shutting down"));
    }
  });
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
  auto found = std::ranges::find(operations_, id, &Operation::id);
  if (found != operations_.end()) *found = as_it_is(*found);
  progress_.erase(id);
  if (found == operations_.end()) return;
  found->finished = std::chrono::system_clock::now();
  if (!result) found->error = std::move(result).error();
}

Operation Operations::as_it_is(const Operation& operation) const {
  Operation result = operation;
  auto progress = progress_.find(operation.id);
  if (progress != progress_.end()) result.progress = progress->second();
  return result;
}

std::vector<Operation> Operations::list() const {
  std::vector<Operation> all;
  {
    std::lock_guard lock(mutex_);
    all.reserve(operations_.size());
    for (auto each = operations_.rbegin(); each != operations_.rend(); ++each) {
      all.push_back(as_it_is(*each));
    }
  }
  if (sources_.empty()) return all;
  for (const auto* source : sources_) {
    for (auto& operation : source->list()) all.push_back(std::move(operation));
  }
  std::ranges::stable_sort(all, std::greater<>(), &Operation::started);
  return all;
}

Result<Operation> Operations::find(const std::string& id) const {
  {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::find(operations_, id, &Operation::id);
    if (found != operations_.end()) return as_it_is(*found);
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
  co_return fail(ErrorCode::conflict,
                 fmt::format("an operation of the kind '{}' cannot be paused, resumed or cancelled",
                             found.kind));
}

net::Task<void> Operations::stop() { co_await tasks_.close(); }

}  // namespace corral::api::admin

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
  if (!finished) return "running";
  return error ? "failed" : "succeeded";
}

bj::object describe(const Operation& operation) {
  bj::object result{{"id", operation.id},
                    {"kind", operation.kind},
                    {"target", operation.target},
                    {"state", std::string(operation.state())},
                    {"started", format_time(operation.started)}};
  result["finished"] =
      operation.finished ? bj::value(format_time(*operation.finished)) : bj::value(nullptr);
  result["error"] = operation.error ? bj::value(operation.error->describe()) : bj::value(nullptr);
  return result;
}

Operations::Operations(net::Shard& control) : control_(control), tasks_(control) {}

net::Task<Operation> Operations::run(std::string kind, std::string target, Work work,
                                     std::chrono::milliseconds patience) {
  std::string id;
  {
    std::lock_guard lock(mutex_);
    id = fmt::format("{}-{}", kind, ++begun_);
    operations_.push_back({id, std::move(kind), std::move(target), std::chrono::system_clock::now(),
                           std::nullopt, std::nullopt});
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
  if (found == operations_.end()) return;
  found->finished = std::chrono::system_clock::now();
  if (!result) found->error = std::move(result).error();
}

std::vector<Operation> Operations::list() const {
  std::lock_guard lock(mutex_);
  return {operations_.rbegin(), operations_.rend()};
}

Result<Operation> Operations::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  auto found = std::ranges::find(operations_, id, &Operation::id);
  if (found != operations_.end()) return *found;
  return fail(ErrorCode::not_found, fmt::format("there is no operation '{}'", id))
      .hint("the last two hundred are kept; GET /admin/v1/operations lists them");
}

net::Task<void> Operations::stop() { co_await tasks_.close(); }

}  // namespace corral::api::admin

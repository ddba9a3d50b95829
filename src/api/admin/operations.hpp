// Work that outlasts a request: begun by an admin call, seen by its id afterwards. The last two
// hundred are kept.
//
// Thread rule: thread-safe; the work itself runs on the control shard. Lifecycle: construct, use,
// `co_await stop()` on the control shard.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/shard.hpp"

namespace corral::api::admin {

struct Operation {
  std::string id;
  std::string kind;    // "load"
  std::string target;  // "corral-tiny"
  std::chrono::system_clock::time_point started;
  std::optional<std::chrono::system_clock::time_point> finished;
  std::optional<Error> error;  // set when it failed

  std::string_view state() const;  // running, succeeded, failed
};

boost::json::object describe(const Operation& operation);

class Operations {
 public:
  using Work = std::function<net::Task<Result<void>>()>;

  explicit Operations(net::Shard& control);

  // Begins, waits for up to `patience`, and says how it stands then. It goes on in any case.
  net::Task<Operation> run(std::string kind, std::string target, Work work,
                           std::chrono::milliseconds patience);
  std::vector<Operation> list() const;  // newest first
  Result<Operation> find(const std::string& id) const;
  net::Task<void> stop();

 private:
  net::Task<void> perform(std::string id, Work work);
  void finish(const std::string& id, Result<void> result);

  net::Shard& control_;
  net::TaskGroup tasks_;
  mutable std::mutex mutex_;
  std::uint64_t begun_ = 0;
  std::deque<Operation> operations_;  // oldest first
};

}  // namespace corral::api::admin

// Work that outlasts a request: begun by an admin call, seen by its id afterwards. The last two
// hundred are kept. Work that another part keeps a record of (pulls, which survive a restart) is
// shown among them through an `OperationSource`.
//
// Thread rule: thread-safe, but `add_source`, which comes before the server starts; the work itself
// runs on the control shard. Lifecycle: construct, use, `co_await stop()` on the control shard.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "net/shard.hpp"

namespace corral::api::admin {

struct OperationFile {
  std::string name;
  std::string role;
  std::optional<std::uint64_t> bytes;  // none: not known yet
  std::uint64_t done = 0;
};

// How far work on bytes is.
struct OperationProgress {
  std::string stage;                   // "downloading"; empty: none
  std::string model;                   // what will be there in the end; empty: not known yet
  std::optional<std::uint64_t> bytes;  // in all; none: not known yet
  std::uint64_t done = 0;
  std::uint64_t rate = 0;  // bytes a second
  std::optional<std::chrono::seconds> remaining;
  std::vector<OperationFile> files;
};

struct Operation {
  std::string id;
  std::string kind;    // "load", "pull"
  std::string target;  // "corral-tiny"
  std::chrono::system_clock::time_point started;
  std::optional<std::chrono::system_clock::time_point> finished;
  std::optional<Error> error;  // set when it failed
  std::string own_state;       // of a source: queued, running, paused, ...; empty: see state()
  std::optional<OperationProgress> progress;

  std::string_view state() const;  // queued, running, paused, succeeded, failed, cancelled
};

boost::json::object describe(const Operation& operation);

enum class OperationAction { pause, resume, cancel };

// Another part's work.
class OperationSource {
 public:
  virtual ~OperationSource() = default;
  virtual std::vector<Operation> list() const = 0;
  virtual std::optional<Operation> find(const std::string& id) const = 0;
  virtual net::Task<Result<Operation>> act(std::string id, OperationAction action) = 0;
};

class Operations {
 public:
  using Work = std::function<net::Task<Result<void>>()>;
  using ProgressOf = std::function<OperationProgress()>;  // any thread, soon

  explicit Operations(net::Shard& control);

  void add_source(OperationSource& source) { sources_.push_back(&source); }

  // Begins, waits for up to `patience`, and says how it stands then. It goes on in any case.
  net::Task<Operation> run(std::string kind, std::string target, Work work,
                           std::chrono::milliseconds patience, ProgressOf progress = {});
  std::vector<Operation> list() const;  // newest first
  Result<Operation> find(const std::string& id) const;
  // conflict: it is of a kind, or in a state, that does not allow that.
  net::Task<Result<Operation>> act(std::string id, OperationAction action);
  net::Task<void> stop();

 private:
  net::Task<void> perform(std::string id, Work work);
  void finish(const std::string& id, Result<void> result);
  Operation as_it_is(const Operation& operation) const;  // under the lock

  net::Shard& control_;
  net::TaskGroup tasks_;
  std::vector<OperationSource*> sources_;
  mutable std::mutex mutex_;
  std::uint64_t begun_ = 0;
  std::deque<Operation> operations_;            // oldest first
  std::map<std::string, ProgressOf> progress_;  // of those under way
};

}  // namespace corral::api::admin

// Fetching models: a pull resolves a name at its source, downloads all of its files, looks into
// them, and hands the whole to the catalog. Several run at once, others wait their turn; each can
// be paused, resumed and cancelled, and is kept on the disk until it is done: after a crash or a
// restart it goes on where it was (a paused or failed one waits for `resume`).
//
// Thread rule: everything may be awaited on any shard, and `list` and `find` be called from any
// thread; the work itself is on the shard given. Lifecycle: construct, `start`, use, `stop`,
// destroy.
// Example:
//   CORRAL_CO_TRY(auto view, co_await pulls.pull({.reference = "hf:owner/repo"}));
//   ... pulls.find(view.id)->done ...
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "models/blob_store.hpp"
#include "models/pull_record.hpp"
#include "models/sources/source.hpp"
#include "net/shard.hpp"
#include "sys/clock.hpp"
#include "telemetry/log.hpp"

namespace corral::models {

struct PullRequest {
  std::string reference;  // see Sources
  std::string name;       // in the catalog; empty: as the source calls it
  std::string author;
};

enum class PullAction { pause, resume, cancel };

struct PullFileView {
  std::string name;
  FileRole role = FileRole::weights;
  std::optional<std::uint64_t> bytes;
  std::uint64_t done = 0;
};

struct PullView {
  std::string id;
  std::string reference;
  std::string name;  // in the catalog; empty: not known yet
  std::string author;
  PullState state = PullState::queued;
  std::string stage;  // "resolving", "downloading", "checking", "storing"; empty: none of them
  sys::Wall started;
  std::optional<sys::Wall> finished;
  std::optional<Error> error;
  std::optional<std::uint64_t> bytes;  // of all files
  std::uint64_t done = 0;
  std::uint64_t rate = 0;  // bytes a second
  std::optional<std::chrono::seconds> remaining;
  std::vector<PullFileView> files;
};

// A place that models come from.
struct SourceView {
  std::string name;   // hf, ollama, or as sources.folders calls it
  std::string kind;   // hub, registry, folder
  std::string label;  // for people
  std::string address;
  std::optional<Error> problem;  // why it cannot be reached
};

struct FoundModels {
  std::vector<RemoteInfo> models;
  std::vector<Error> problems;  // of sources that did not answer; `param` names them
};

// Takes a finished model; runs on the pool.
using PullSink = std::function<Result<void>(const ModelVersion&)>;

struct PullParts {
  net::Shard& shard;
  net::BlockingPool& pool;  // not one that others wait for: hashing takes its time
  BlobStore& blobs;
  sys::Files& files;
  const sys::Clock& clock;
  telemetry::Logger log;
  PullSink sink;
};

class Pulls {
 public:
  explicit Pulls(PullParts parts);
  ~Pulls();
  Pulls(const Pulls&) = delete;
  Pulls& operator=(const Pulls&) = delete;

  // Takes up what an earlier run left unfinished.
  net::Task<Result<void>> start(std::shared_ptr<const config::Settings> settings);
  // Pulls that run go on with the sources they have; those that start later have the new ones.
  net::Task<Result<void>> reload(std::shared_ptr<const config::Settings> settings);
  // Those that run end, keeping what they have.
  net::Task<void> stop();

  // Begins; an unfinished pull of the same reference goes on instead, and is the asking author's
  // where nobody waited for it.
  net::Task<Result<PullView>> pull(PullRequest request);
  // conflict: its state does not allow that.
  net::Task<Result<PullView>> act(std::string id, PullAction action);

  std::vector<PullView> list() const;  // newest first
  std::optional<PullView> find(const std::string& id) const;

  net::Task<Result<std::vector<RemoteInfo>>> search(std::string words, std::size_t most);
  // What a pull would fetch.
  net::Task<Result<RemoteModel>> plan(std::string reference);

  // Each source; asked whether it answers, unless only what is configured is wanted.
  enum class Ask : std::uint8_t { each, nobody };
  net::Task<Result<std::vector<SourceView>>> sources(Ask ask = Ask::each);
  // All models of one of them, by its name. unsupported: too many to list.
  net::Task<Result<RemoteListing>> listing(std::string source);
  net::Task<Result<RemoteInfo>> info(std::string reference);
  // A search of the sources with these names; `most` of each. not_found: no such source.
  net::Task<Result<FoundModels>> search_in(std::string words, std::vector<std::string> names,
                                           std::size_t most);
  // The names of all folders, for `search_in`. Any thread.
  std::vector<std::string> folder_names() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace corral::models

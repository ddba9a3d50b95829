// One pull from its reference to the catalog.
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "models/gguf.hpp"
#include "models/pulls_impl.hpp"

namespace corral::models {
namespace {

bool is_gguf_role(FileRole role) {
  return role == FileRole::weights || role == FileRole::projector || role == FileRole::adapter;
}

constexpr std::chrono::milliseconds kLookAtOthers{50};

Error stopped() { return fail(ErrorCode::cancelled, "the pull was stopped"); }

Error not_runnable(Error error, const std::string& name) {
  error.message = fmt::format("'{}' is no model file that can be used: {}", name, error.message);
  if (error.hint_text.empty()) {
    error.hint_text =
        "nothing of it was kept; the source has a damaged file, or one of another kind";
  }
  return error;
}

// The parts of a split model stand in their order, and belong together.
Result<void> check_set(sys::Files& files, const BlobStore& blobs, const RemoteModel& model) {
  std::vector<sys::Path> weights;
  for (const auto& file : model.files) {
    if (file.role == FileRole::weights) weights.push_back(blobs.path_of(file.digest));
  }
  auto read = read_gguf_set(files, weights);
  if (!read) return not_runnable(std::move(read).error(), model.name);
  return {};
}

}  // namespace

Result<void> Pulls::Impl::still_wanted(const Pull& pull) const {
  if (pull.wish == Wish::none) return {};
  return stopped();
}

net::Task<Result<void>> Pulls::Impl::save(const Pull& pull) {
  std::function<Result<void>()> work = [this, name = pull.record_name(),
                                        text = to_text(pull.record)] {
    return parts.blobs.write_record(name, text);
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

// Its record first: what is left afterwards belongs to nobody, and the next start removes it.
net::Task<void> Pulls::Impl::clear(const Pull& pull) {
  std::size_t files = pull.record.model ? pull.record.model->files.size() : 0;
  std::function<Result<void>()> work = [this, files, &pull]() -> Result<void> {
    auto removed = parts.blobs.drop_partial(pull.record_name());
    for (std::size_t i = 0; i < files; ++i) {
      auto data = parts.blobs.drop_partial(pull.partial(i));
      auto note = parts.blobs.drop_partial(pull.partial(i) + ".ranges");
      if (removed && !data) removed = std::move(data);
      if (removed && !note) removed = std::move(note);
    }
    return removed;
  };
  auto removed = co_await net::run_blocking(parts.pool, std::move(work));
  if (!removed) {
    parts.log.warn("what is left of a pull cannot be removed",
                   {{"pull", pull.record.id}, {"error", removed.error().describe()}});
  }
}

net::Task<void> Pulls::Impl::run(Pull& pull) {
  auto done = co_await perform(pull);
  auto& record = pull.record;
  pull.download.reset();
  pull.stage.clear();
  pull.rate.reset();
  if (done) {
    record.state = PullState::succeeded;
  } else if (pull.wish == Wish::cancel) {
    record.state = PullState::cancelled;
  } else if (pull.wish == Wish::pause) {
    record.state = PullState::paused;
  } else if (pull.wish == Wish::end) {
    record.state = PullState::queued;
  } else {
    record.state = PullState::failed;
    pull.error = done.error();
    record.error = done.error().message;
    record.hint = done.error().hint_text;
  }
  if (is_finished(record.state)) {
    pull.holds.clear();
    co_await clear(pull);
  } else {
    auto saved = co_await save(pull);
    if (!saved) {
      parts.log.warn("the record of a pull cannot be written",
                     {{"pull", record.id}, {"error", saved.error().describe()}});
    }
  }
  if (is_finished(record.state) || record.state == PullState::failed) {
    pull.finished = parts.clock.wall();
  }
  parts.log.info("pull", {{"pull", record.id},
                          {"model", record.reference},
                          {"state", to_string(record.state)},
                          {"error", pull.error ? pull.error->describe() : std::string()}});
  pull.working = false;
  pull.wish = Wish::none;
  publish();
  schedule();
}

net::Task<Result<void>> Pulls::Impl::perform(Pull& pull) {
  auto from = sources;  // a reload must not take them away
  auto& record = pull.record;
  CORRAL_CO_TRY(auto found, from->find(record.reference));
  if (!record.model) {
    pull.stage = "resolving";
    publish();
    CORRAL_CO_TRY(auto model, co_await found.source->resolve(found.reference));
    for (const auto& file : model.files) CORRAL_CO_CHECK(check_file_name(file.name));
    record.model = std::move(model);
    CORRAL_CO_CHECK(still_wanted(pull));
    CORRAL_CO_CHECK(co_await save(pull));
  }
  pull.stage = "downloading";
  CORRAL_CO_CHECK(co_await fetch_files(pull, *from, *found.source));
  CORRAL_CO_CHECK(still_wanted(pull));
  pull.stage = "checking";
  publish();
  CORRAL_CO_CHECK(co_await check_model(pull));
  pull.stage = "storing";
  publish();
  co_return co_await hand_over(pull);
}

net::Task<Result<void>> Pulls::Impl::fetch_files(Pull& pull, Sources& from, Source& source) {
  auto& files = pull.record.model->files;
  pull.done.resize(files.size());
  // From before they are looked for, so that none is collected under our hands.
  pull.holds.clear();
  for (const auto& file : files) {
    if (!file.digest.empty()) pull.holds.push_back(parts.blobs.hold(file.digest));
  }
  std::set<std::string> coming;  // for which others have set space aside
  for (const auto& file : files) {
    if (others_fetch(pull, file.digest)) coming.insert(file.digest);
  }
  std::function<Result<void>()> room = [this, &pull, files, coming = std::move(coming)] {
    std::uint64_t missing = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
      std::uint64_t bytes = files[i].bytes.value_or(0);
      if (parts.blobs.has(files[i].digest, bytes) || coming.contains(files[i].digest)) continue;
      auto there = parts.files.stat(parts.blobs.partial_path(pull.partial(i)));
      missing += bytes - std::min(bytes, there ? there->size : 0);
    }
    return parts.blobs.check_space(missing);
  };
  CORRAL_CO_CHECK(co_await net::run_blocking(parts.pool, std::move(room)));
  for (pull.at = 0; pull.at < files.size(); ++pull.at) {
    CORRAL_CO_CHECK(still_wanted(pull));
    CORRAL_CO_CHECK(co_await fetch_file(pull, from, source, files[pull.at]));
    pull.done[pull.at] = files[pull.at].bytes.value_or(0);
  }
  co_return Result<void>();
}

bool Pulls::Impl::others_fetch(const Pull& pull, const std::string& digest) const {
  return !digest.empty() && std::ranges::any_of(pulls, [&](const auto& each) {
    return each.get() != &pull && each->fetching == digest;
  });
}

// Two that want the same file do not both fetch it. If the other one gives up, it is this one's.
net::Task<Result<void>> Pulls::Impl::wait_for_others(Pull& pull, std::string digest) {
  if (!others_fetch(pull, digest)) co_return Result<void>();
  pull.stage = "waiting for a file that another pull fetches";
  publish();
  while (others_fetch(pull, digest)) {
    auto slept = co_await net::sleep_for(kLookAtOthers);
    CORRAL_CO_CHECK(still_wanted(pull));
    if (!slept) co_return std::unexpected(stopped());
  }
  pull.stage = "downloading";
  co_return Result<void>();
}

net::Task<Result<void>> Pulls::Impl::fetch_file(Pull& pull, Sources& from, Source& source,
                                                RemoteFile& file) {
  CORRAL_CO_CHECK(co_await wait_for_others(pull, file.digest));
  pull.fetching = file.digest;  // before anything else has its turn
  auto done = co_await download(pull, from, source, file);
  pull.fetching.clear();
  co_return done;
}

net::Task<Result<void>> Pulls::Impl::download(Pull& pull, Sources& from, Source& source,
                                              RemoteFile& file) {
  std::function<bool()> look = [this, &file] {
    return file.bytes && parts.blobs.has(file.digest, *file.bytes);
  };
  bool there = co_await net::run_blocking(parts.pool, std::move(look));
  if (there) co_return Result<void>();
  CORRAL_CO_CHECK(still_wanted(pull));
  DownloadJob job;
  job.url = file.url;
  job.bearer = source.token();
  job.name = pull.partial(pull.at);
  job.label = file.name;
  job.bytes = file.bytes;
  job.digest = file.digest;
  job.gguf = is_gguf_role(file.role);
  pull.download =
      std::make_unique<Download>(DownloadParts{from.web(), parts.pool, parts.blobs, throttle,
                                               parts.clock, settings->downloads},
                                 std::move(job));
  publish();
  auto done = co_await pull.download->run();
  pull.done[pull.at] = done ? done->bytes : pull.download->progress().done;
  pull.download.reset();
  if (!done) co_return source.explain(std::move(done).error());
  file.digest = done->digest;
  file.bytes = done->bytes;
  pull.holds.push_back(parts.blobs.hold(file.digest));
  CORRAL_CO_CHECK(co_await take_in(pull, pull.at));
  co_return co_await save(pull);
}

// The whole and checked file becomes a blob, if it is what it should be.
net::Task<Result<void>> Pulls::Impl::take_in(Pull& pull, std::size_t index) {
  const auto& file = pull.record.model->files[index];
  std::function<Result<void>()> work = [this, &file, name = pull.partial(index)]() -> Result<void> {
    if (is_gguf_role(file.role)) {
      CORRAL_TRY(auto opened, parts.files.open(parts.blobs.partial_path(name)));
      auto read = read_gguf(*opened);
      if (!read) {
        CORRAL_CHECK(parts.blobs.drop_partial(name + ".ranges"));
        CORRAL_CHECK(parts.blobs.drop_partial(name));
        return not_runnable(std::move(read).error(), file.name);
      }
    }
    CORRAL_CHECK(parts.blobs.adopt(name, file.digest));
    return parts.blobs.drop_partial(name + ".ranges");
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

net::Task<Result<void>> Pulls::Impl::check_model(Pull& pull) {
  std::function<Result<void>()> work = [this, &pull] {
    return check_set(parts.files, parts.blobs, *pull.record.model);
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

net::Task<Result<void>> Pulls::Impl::hand_over(Pull& pull) {
  const auto& model = *pull.record.model;
  ModelVersion version;
  version.name = pull.record.name.empty() ? model.name : pull.record.name;
  version.origin = model.origin;
  version.revision = model.revision;
  version.license = model.license;
  version.author = pull.record.author;
  version.added = parts.clock.wall();
  version.files.reserve(model.files.size());
  for (const auto& file : model.files) {
    version.files.push_back({file.role, file.name, file.digest, file.bytes.value_or(0)});
  }
  std::function<Result<void>()> work = [this, version = std::move(version)] {
    return parts.sink(version);
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

}  // namespace corral::models

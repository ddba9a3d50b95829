#include "models/pulls.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "models/catalog.hpp"
#include "models/core/ranges.hpp"
#include "models/pulls_impl.hpp"
#include "sys/random.hpp"

namespace corral::models {
namespace {

constexpr std::size_t kKept = 100;
constexpr std::size_t kMostUnfinished = 1'000;
constexpr std::chrono::milliseconds kTick{200};
constexpr std::chrono::milliseconds kLook{5};
constexpr std::string_view kRecordEnding = ".json";

}  // namespace

Pulls::Pulls(PullParts parts) : impl_(std::make_unique<Impl>(std::move(parts))) {}
Pulls::~Pulls() = default;

net::Task<Result<void>> Pulls::start(std::shared_ptr<const config::Settings> settings) {
  std::function<net::Task<Result<void>>()> work = [impl = impl_.get(), settings] {
    return impl->start(settings);
  };
  return flatten(net::run_on(impl_->parts.shard, impl_->tasks, std::move(work)));
}

net::Task<Result<void>> Pulls::reload(std::shared_ptr<const config::Settings> settings) {
  std::function<Result<void>()> work = [impl = impl_.get(), settings] {
    return impl->reload(settings);
  };
  return net::call_on(impl_->parts.shard, std::move(work));
}

net::Task<void> Pulls::stop() {
  std::function<bool()> end = [impl = impl_.get()] {
    impl->end();
    return true;
  };
  std::function<bool()> busy = [impl = impl_.get()] { return impl->busy(); };
  co_await net::call_on(impl_->parts.shard, std::move(end));
  while (true) {
    bool still = co_await net::call_on(impl_->parts.shard, busy);
    if (!still || !co_await net::sleep_for(kLook)) break;
  }
}

net::Task<Result<PullView>> Pulls::pull(PullRequest request) {
  std::function<net::Task<Result<PullView>>()> work = [impl = impl_.get(), request] {
    return impl->pull(request);
  };
  return flatten(net::run_on(impl_->parts.shard, impl_->tasks, std::move(work)));
}

net::Task<Result<PullView>> Pulls::act(std::string id, PullAction action) {
  std::function<net::Task<Result<PullView>>()> work = [impl = impl_.get(), id, action] {
    return impl->act(id, action);
  };
  return flatten(net::run_on(impl_->parts.shard, impl_->tasks, std::move(work)));
}

net::Task<Result<std::vector<RemoteInfo>>> Pulls::search(std::string words, std::size_t most) {
  std::function<net::Task<Result<std::vector<RemoteInfo>>>()> work =
      [impl = impl_.get(), words, most] { return impl->search(words, most); };
  return flatten(net::run_on(impl_->parts.shard, impl_->tasks, std::move(work)));
}

net::Task<Result<RemoteModel>> Pulls::plan(std::string reference) {
  std::function<net::Task<Result<RemoteModel>>()> work = [impl = impl_.get(), reference] {
    return impl->plan(reference);
  };
  return flatten(net::run_on(impl_->parts.shard, impl_->tasks, std::move(work)));
}

std::vector<PullView> Pulls::list() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->views;
}

std::optional<PullView> Pulls::find(const std::string& id) const {
  std::lock_guard lock(impl_->mutex);
  auto found = std::ranges::find(impl_->views, id, &PullView::id);
  if (found == impl_->views.end()) return std::nullopt;
  return *found;
}

std::vector<std::string> Pulls::folder_names() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->folder_names;
}

// --- life ----------------------------------------------------------------------------------------

struct Pulls::Impl::Left {
  struct Entry {
    PullRecord record;
    std::vector<std::uint64_t> done;  // bytes that are there of each file
  };
  std::vector<Entry> entries;        // oldest first
  std::vector<std::string> removed;  // what belonged to none of them
};

namespace {

std::uint64_t bytes_there(const BlobStore& blobs, const RemoteFile& file, const std::string& name) {
  if (file.bytes && blobs.has(file.digest, *file.bytes)) return *file.bytes;
  auto text = blobs.read_record(name + ".ranges");
  auto note = text ? parse_range_journal(*text) : std::unexpected(text.error());
  std::uint64_t sum = 0;
  if (note) {
    for (auto range : note->done) sum += range.bytes();
  }
  return sum;
}

std::optional<PullRecord> read_pull(const BlobStore& blobs, const std::string& name) {
  if (!name.ends_with(kRecordEnding) || !name.starts_with("pull-")) return std::nullopt;
  auto text = blobs.read_record(name);
  if (!text) return std::nullopt;
  auto record = parse_pull_record(*text);
  if (!record || record->id + std::string(kRecordEnding) != name) return std::nullopt;
  return std::move(*record);
}

}  // namespace

// What lies among the unfinished files: records of pulls, their bytes, and what belongs to none.
Result<Pulls::Impl::Left> Pulls::Impl::read_left(BlobStore& blobs) {
  CORRAL_CHECK(blobs.open());
  Left left;
  CORRAL_TRY(auto names, blobs.partials());
  std::set<std::string, std::less<>> ids;
  for (const auto& name : names) {
    auto record = read_pull(blobs, name);
    if (!record) continue;
    ids.insert(record->id);
    Left::Entry entry{std::move(*record), {}};
    std::size_t files = entry.record.model ? entry.record.model->files.size() : 0;
    entry.done.reserve(files);
    for (std::size_t i = 0; i < files; ++i) {
      entry.done.push_back(bytes_there(blobs, entry.record.model->files[i],
                                       fmt::format("{}-{}", entry.record.id, i)));
    }
    left.entries.push_back(std::move(entry));
  }
  for (const auto& name : names) {
    if (!name.starts_with("pull-")) continue;
    auto id = std::string_view(name).substr(0, name.find_first_of("-.", 5));
    if (ids.contains(id)) continue;
    CORRAL_CHECK(blobs.drop_partial(name));
    left.removed.push_back(name);
  }
  std::ranges::sort(left.entries, {}, [](const auto& each) { return each.record.started; });
  return left;
}

net::Task<Result<void>> Pulls::Impl::start(std::shared_ptr<const config::Settings> fresh) {
  CORRAL_CO_CHECK(reload(fresh));
  std::function<Result<Left>()> work = [this] { return read_left(parts.blobs); };
  CORRAL_CO_TRY(auto left, co_await net::run_blocking(parts.pool, std::move(work)));
  for (const auto& name : left.removed) {
    parts.log.warn("an unfinished file of no pull was removed", {{"file", name}});
  }
  take_up(std::move(left));
  tasks.spawn(tick());
  schedule();
  publish();
  co_return Result<void>();
}

void Pulls::Impl::take_up(Left left) {
  for (auto& [record, done] : left.entries) {
    auto pull = std::make_unique<Pull>(parts.shard);
    if (record.state == PullState::failed) {
      pull->error = fail(ErrorCode::unavailable, record.error).hint(record.hint);
    }
    // Those that wait hold what they fetched before.
    if (record.model) {
      for (const auto& file : record.model->files) {
        if (!file.digest.empty()) pull->holds.push_back(parts.blobs.hold(file.digest));
      }
    }
    pull->record = std::move(record);
    pull->done = std::move(done);
    pulls.push_back(std::move(pull));
  }
}

Result<void> Pulls::Impl::reload(const std::shared_ptr<const config::Settings>& fresh) {
  CORRAL_TRY(auto made, Sources::make(fresh->sources, fresh->downloads.silence, parts.files));
  sources = std::move(made);
  settings = fresh;
  {
    std::vector<std::string> names;
    for (auto& each : sources->all()) {
      if (each.kind == "folder") names.push_back(std::move(each.name));
    }
    std::lock_guard lock(mutex);
    folder_names = std::move(names);
  }
  throttle.set_rate(fresh->downloads.bandwidth);
  parts.blobs.set_keep_free(fresh->downloads.keep_free);
  schedule();
  return {};
}

void Pulls::Impl::end() {
  ending = true;
  for (auto& pull : pulls) {
    if (pull->wish == Wish::none) pull->wish = Wish::end;
    if (pull->download) pull->download->stop();
    pull->tasks.cancel();
  }
  tasks.cancel();
}

bool Pulls::Impl::busy() const {
  return tasks.running() > 0 ||
         std::ranges::any_of(pulls, [](const auto& each) { return each->tasks.running() > 0; });
}

net::Task<void> Pulls::Impl::tick() {
  while (co_await net::sleep_for(kTick)) publish();
}

void Pulls::Impl::schedule() {
  if (ending || !settings) return;
  auto working = static_cast<std::size_t>(
      std::ranges::count_if(pulls, [](const auto& each) { return each->working; }));
  for (auto& pull : pulls) {
    if (working >= settings->downloads.at_once) break;
    if (pull->working || pull->record.state != PullState::queued) continue;
    pull->working = true;
    pull->record.state = PullState::running;
    pull->error.reset();
    pull->finished.reset();
    ++working;
    pull->tasks.spawn(run(*pull));
  }
}

Pull* Pulls::Impl::find(const std::string& id) {
  for (auto& pull : pulls) {
    if (pull->record.id == id) return pull.get();
  }
  return nullptr;
}

Pull* Pulls::Impl::unfinished(const PullRequest& request) {
  for (auto& pull : pulls) {
    const auto& record = pull->record;
    if (record.reference == request.reference && record.name == request.name &&
        !is_finished(record.state) && pull->wish != Wish::cancel) {
      return pull.get();
    }
  }
  return nullptr;
}

void Pulls::Impl::forget_old() {
  auto finished = [](const auto& pull) {
    return !pull->working && pull->tasks.running() == 0 && is_finished(pull->record.state);
  };
  while (static_cast<std::size_t>(std::ranges::count_if(pulls, finished)) > kKept) {
    pulls.erase(std::ranges::find_if(pulls, finished));
  }
}

// --- requests ------------------------------------------------------------------------------------

net::Task<Result<PullView>> Pulls::Impl::pull(PullRequest request) {
  if (ending) co_return fail(ErrorCode::unavailable, "the server is shutting down");
  CORRAL_CO_TRY(auto found, sources->find(request.reference));
  (void)found;
  if (!request.name.empty()) CORRAL_CO_CHECK(check_model_name(request.name));
  if (auto* same = unfinished(request)) {
    bool rests = !same->working && same->record.state != PullState::queued;
    if (same->record.author == kPrefetchAuthor && same->record.author != request.author) {
      same->record.author = request.author;
      CORRAL_CO_CHECK(co_await save(*same));
      publish();
    }
    if (!rests) co_return view_of(*same);
    co_return co_await act_on(*same, PullAction::resume);
  }
  if (pulls.size() >= kMostUnfinished + kKept) {
    co_return fail(ErrorCode::rate_limited, "too many pulls are unfinished")
        .hint("cancel some: corral operations");
  }
  auto fresh = std::make_unique<Pull>(parts.shard);
  fresh->record.id = "pull-" + sys::random_hex(4);
  fresh->record.reference = request.reference;
  fresh->record.name = request.name;
  fresh->record.author = request.author;
  fresh->record.started = parts.clock.wall();
  // From here on it survives a crash.
  CORRAL_CO_CHECK(co_await save(*fresh));
  auto& pull = *fresh;
  pulls.push_back(std::move(fresh));
  forget_old();
  schedule();
  publish();
  co_return view_of(pull);
}

net::Task<Result<PullView>> Pulls::Impl::act(std::string id, PullAction action) {
  auto* pull = find(id);
  if (pull == nullptr) {
    co_return fail(ErrorCode::not_found, fmt::format("there is no pull '{}'", id))
        .hint("GET /admin/v1/operations lists them");
  }
  co_return co_await act_on(*pull, action);
}

net::Task<Result<PullView>> Pulls::Impl::act_on(Pull& pull, PullAction action) {
  auto& state = pull.record.state;
  auto refuse = [&](const char* what) {
    return fail(ErrorCode::conflict,
                fmt::format("the pull is {}, and cannot be {}", to_string(state), what));
  };
  if (is_finished(state)) co_return refuse("changed any more");
  if (action == PullAction::resume) {
    if (pull.working || state == PullState::queued) co_return refuse("resumed");
    state = PullState::queued;
    pull.error.reset();
    pull.finished.reset();
    pull.record.error.clear();
    pull.record.hint.clear();
    CORRAL_CO_CHECK(co_await save(pull));
    schedule();
  } else if (pull.working) {
    // Its own coroutine ends it, and writes down how.
    pull.wish = action == PullAction::pause ? Wish::pause : Wish::cancel;
    if (pull.download) pull.download->stop();
    pull.tasks.cancel();
    while (pull.working && co_await net::sleep_for(kLook)) {}
  } else if (action == PullAction::pause) {
    if (state != PullState::queued) co_return refuse("paused");
    state = PullState::paused;
    CORRAL_CO_CHECK(co_await save(pull));
  } else {
    state = PullState::cancelled;
    pull.finished = parts.clock.wall();
    pull.holds.clear();
    co_await clear(pull);
  }
  publish();
  co_return view_of(pull);
}

net::Task<Result<std::vector<RemoteInfo>>> Pulls::Impl::search(std::string words,
                                                               std::size_t most) {
  auto from = sources;
  std::vector<RemoteInfo> all;
  std::optional<Error> failed;
  for (const auto& source : from->searchable()) {
    auto found = co_await source->search(words, most);
    if (!found) {
      failed = std::move(found).error();
      continue;
    }
    all.insert(all.end(), found->begin(), found->end());
  }
  if (all.empty() && failed) co_return unreachable_hint(std::move(*failed));
  co_return all;
}

net::Task<Result<RemoteModel>> Pulls::Impl::plan(std::string reference) {
  auto from = sources;
  CORRAL_CO_TRY(auto found, from->find(reference));
  auto model = co_await found.source->resolve(found.reference);
  if (!model) co_return unreachable_hint(found.source->explain(std::move(model).error()));
  if (model->files.size() == 1 && !model->files.front().bytes) {
    auto info = co_await found.source->info(found.reference);
    if (!info) co_return unreachable_hint(found.source->explain(std::move(info).error()));
    model->files.front().bytes = info->bytes;
  }
  co_return model;
}

// --- what others see -----------------------------------------------------------------------------

PullView Pulls::Impl::view_of(Pull& pull) const {
  const auto& record = pull.record;
  PullView view;
  view.id = record.id;
  view.reference = record.reference;
  view.name = record.name;
  view.author = record.author;
  view.state = record.state;
  view.stage = pull.stage;
  view.started = record.started;
  view.finished = pull.finished;
  view.error = pull.error;
  if (!record.model) return view;
  if (view.name.empty()) view.name = record.model->name;
  bool known = true;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < record.model->files.size(); ++i) {
    const auto& file = record.model->files[i];
    PullFileView each{file.name, file.role, file.bytes, i < pull.done.size() ? pull.done[i] : 0};
    if (pull.download && i == pull.at) {
      auto progress = pull.download->progress();
      if (progress.total) each.bytes = progress.total;
      each.done = progress.done;
    }
    known = known && each.bytes.has_value();
    sum += each.bytes.value_or(0);
    view.done += each.done;
    view.files.push_back(std::move(each));
  }
  if (known) view.bytes = sum;
  if (pull.download) {
    pull.rate.observe(view.done, parts.clock.now());
    view.rate = pull.rate.bytes_per_second();
    if (known) view.remaining = pull.rate.remaining(sum - std::min(sum, view.done));
  }
  return view;
}

void Pulls::Impl::publish() {
  std::vector<PullView> fresh;
  fresh.reserve(pulls.size());
  for (auto each = pulls.rbegin(); each != pulls.rend(); ++each) fresh.push_back(view_of(**each));
  std::lock_guard lock(mutex);
  views = std::move(fresh);
}

}  // namespace corral::models

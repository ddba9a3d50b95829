#include "models/download.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "models/download_impl.hpp"

namespace corral::models {
namespace {

constexpr unsigned kMostChanges = 4;
constexpr std::chrono::milliseconds kBetweenBeginnings{250};
constexpr std::uint64_t kHashStep = 4u << 20;  // in one go on the pool
constexpr std::size_t kReadBack = 128 * 1024;
constexpr std::uint64_t kFirstPiece = 8u << 20;

struct Opened {
  std::unique_ptr<sys::LargeFile> file;
  std::optional<RangeJournal> note;
};

// A note that does not fit its file is as good as none.
Result<Opened> open_both(BlobStore& blobs, const std::string& name) {
  Opened opened;
  CORRAL_TRY(opened.file, blobs.open_partial(name));
  auto text = blobs.read_record(name + ".ranges");
  if (!text) return opened;
  auto note = parse_range_journal(*text);
  if (note && opened.file->size() == note->size) opened.note = std::move(*note);
  return opened;
}

Result<void> hash_range(const sys::LargeFile& file, Sha256& hash, ByteRange range) {
  std::string buffer(kReadBack, '\0');
  while (range.begin < range.end) {
    std::size_t most = std::min<std::uint64_t>(buffer.size(), range.bytes());
    CORRAL_TRY(auto got, file.read_at(range.begin, buffer.data(), most));
    if (got == 0) return fail(ErrorCode::io, "the unfinished file became shorter");
    hash.update(std::string_view(buffer.data(), got));
    range.begin += got;
  }
  return {};
}

}  // namespace

Download::Download(DownloadParts parts, DownloadJob job)
    : impl_(std::make_unique<Impl>(parts, std::move(job))) {}
Download::~Download() = default;

net::Task<Result<Downloaded>> Download::run() { return impl_->run(); }
void Download::stop() { impl_->stop(); }

DownloadProgress Download::progress() const {
  DownloadProgress progress;
  progress.total = impl_->job.bytes;
  if (impl_->plan) {
    if (!impl_->endless) progress.total = impl_->plan->size();
    progress.done = impl_->plan->done_bytes();
    progress.hashed = impl_->order.at();
  }
  return progress;
}

Download::Impl::Impl(DownloadParts p, DownloadJob j)
    : parts(p), job(std::move(j)), tasks(*net::Shard::current()), piece_bytes(kFirstPiece) {}

void Download::Impl::stop() {
  stopping = true;
  tasks.cancel();
  hash_bell.ring();
}

Error Download::Impl::give_up(Error error) {
  if (!failure) failure = error;
  tasks.cancel();
  hash_bell.ring();
  return error;
}

Error Download::Impl::begin_again(Error why) {
  again = true;
  last = why;
  tasks.cancel();
  hash_bell.ring();
  return why;
}

net::Task<Result<Downloaded>> Download::Impl::run() {
  auto opened = co_await open();
  if (!opened) co_return std::unexpected(std::move(opened).error());
  Result<void> fetched;
  for (unsigned beginnings = 1;; ++beginnings) {
    fetched = co_await fetch_all();
    if (!again) break;
    if (changes >= kMostChanges) {
      fetched = fail(ErrorCode::upstream,
                     fmt::format("'{}' changes at its source while it is fetched", job.label));
      break;
    }
    if (beginnings >= parts.settings.tries) {
      fetched = std::unexpected(last.value_or(Error{}));
      break;
    }
    fetched = co_await begin_anew();
    if (!fetched) break;
    if (beginnings > 1) (void)co_await net::sleep_for(kBetweenBeginnings * beginnings);
  }
  co_await tasks.close();
  if (!fetched) co_return std::unexpected(std::move(fetched).error());
  auto done = co_await finish();
  co_return done;
}

net::Task<Result<void>> Download::Impl::open() {
  std::function<Result<Opened>()> work = [this] { return open_both(parts.blobs, job.name); };
  CORRAL_CO_TRY(auto opened, co_await net::run_blocking(parts.pool, std::move(work)));
  file = std::move(opened.file);
  // Without a digest or a tag nobody could tell whether the rest is of the same file.
  bool usable = opened.note && (!job.bytes || *job.bytes == opened.note->size) &&
                (!job.digest.empty() || !opened.note->tag.empty());
  if (!usable) co_return Result<void>();
  plan.emplace(opened.note->size);
  plan->restore(opened.note->done);
  tag = opened.note->tag;
  saved_bytes = plan->done_bytes();
  co_return Result<void>();
}

// A plan for a file of this size, with its space set aside.
net::Task<Result<void>> Download::Impl::make_plan(std::uint64_t size) {
  std::function<Result<void>()> work = [this, size] { return parts.blobs.reserve(*file, size); };
  auto reserved = co_await net::run_blocking(parts.pool, std::move(work));
  if (!reserved) co_return give_up(std::move(reserved).error());
  plan.emplace(size);
  co_return Result<void>();
}

// Until all is there and hashed, or it cannot go on.
net::Task<Result<void>> Download::Impl::fetch_all() {
  if (stopping) co_return fail(ErrorCode::cancelled, "the download was stopped");
  saved = parts.clock.now();
  last.reset();
  active = 2;
  workers = 1;
  tasks.spawn(hash_on());
  tasks.spawn(work());
  while (active > 0) co_await done_bell.wait();
  if (again) co_return Result<void>();
  bool whole = hashed_all();
  if (!whole) {
    auto noted = co_await write_note();
    if (!noted && !failure) failure = std::move(noted).error();
  }
  if (failure) co_return std::unexpected(*failure);
  if (stopping) co_return fail(ErrorCode::cancelled, "the download was stopped");
  if (!whole && last) co_return std::unexpected(*last);
  if (!whole) co_return fail(ErrorCode::internal, "the download ended early");
  co_return Result<void>();
}

net::Task<Result<void>> Download::Impl::begin_anew() {
  again = false;
  plan.reset();
  tag.clear();
  location.clear();
  order = {};
  hash = Sha256();
  endless = false;
  saved_bytes = 0;
  std::function<Result<void>()> work = [this] {
    return parts.blobs.drop_partial(job.name + ".ranges");
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

void Download::Impl::leave() {
  --active;
  if (active == 0) done_bell.ring();
}

// Follows the bytes that are there from the front on; those that came in order were hashed as they
// were written.
net::Task<void> Download::Impl::hash_on() {
  while (going() && !hashed_all()) {
    auto next = plan ? order.claim_next(plan->contiguous(), kHashStep) : std::nullopt;
    if (!next) {
      if (workers == 0) break;
      co_await hash_bell.wait();
      continue;
    }
    std::function<Result<void>()> work = [this, range = *next] {
      return hash_range(*file, hash, range);
    };
    auto hashed = co_await net::run_blocking(parts.pool, std::move(work));
    order.release(next->end);
    if (!hashed) (void)give_up(std::move(hashed).error());
  }
  leave();
}

net::Task<void> Download::Impl::save() {
  auto noted = co_await write_note();
  if (!noted) (void)give_up(std::move(noted).error());
  saved = parts.clock.now();
  saving = false;
  leave();
}

// Only what is on the disk may be noted: the snapshot comes first, then the sync, then the note.
net::Task<Result<void>> Download::Impl::write_note() {
  if (!plan || one_stream || plan->done_bytes() == saved_bytes) co_return Result<void>();
  saved_bytes = plan->done_bytes();
  RangeJournal note{plan->size(), tag, plan->done()};
  std::function<Result<void>()> work = [this, note = std::move(note)]() -> Result<void> {
    CORRAL_CHECK(file->sync());
    return parts.blobs.write_record(job.name + ".ranges", to_text(note));
  };
  co_return co_await net::run_blocking(parts.pool, std::move(work));
}

net::Task<Result<Downloaded>> Download::Impl::finish() {
  Downloaded done{hash.digest(), plan->size()};
  if (job.digest.empty() || done.digest == job.digest) co_return done;
  file.reset();
  std::function<Result<void>()> work = [this]() -> Result<void> {
    CORRAL_CHECK(parts.blobs.drop_partial(job.name + ".ranges"));
    return parts.blobs.drop_partial(job.name);
  };
  CORRAL_CO_CHECK(co_await net::run_blocking(parts.pool, std::move(work)));
  co_return fail(ErrorCode::upstream,
                 fmt::format("the bytes of '{}' have the checksum {}, and {} was promised",
                             job.label, done.digest, job.digest))
      .hint("they were thrown away; pull it again, and if it stays so, the source is damaged");
}

}  // namespace corral::models

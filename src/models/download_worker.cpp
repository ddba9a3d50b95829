// One connection of a download: asks for a piece, judges the answer, writes what comes.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "models/download_impl.hpp"

namespace corral::models {
namespace {

constexpr std::size_t kBuffer = 512 * 1024;
constexpr std::size_t kReadBlock = 16 * 1024;  // what one read brings at most
constexpr std::uint64_t kLeastPiece = 4u << 20;
constexpr std::uint64_t kMostPiece = 64u << 20;
constexpr double kPieceSeconds = 4;
constexpr std::chrono::seconds kSaveEvery{1};
constexpr std::chrono::milliseconds kWriteEvery{250};
constexpr std::chrono::milliseconds kFirstPause{250};
constexpr std::chrono::milliseconds kLongestPause{10'000};
constexpr std::uint64_t kEndless = std::uint64_t{1} << 62;

bool may_pass(const Error& error) {
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout ||
         error.code == ErrorCode::rate_limited || error.code == ErrorCode::upstream;
}

std::chrono::milliseconds pause_after(unsigned failures, const Error& error) {
  auto pause = kFirstPause * (1u << std::min(failures - 1, 6u));
  if (error.retry_after) pause = std::max<std::chrono::milliseconds>(pause, *error.retry_after);
  return std::min<std::chrono::milliseconds>(pause, kLongestPause);
}

}  // namespace

void Download::Impl::start_workers() {
  while (!one_stream && workers < parts.settings.connections && plan->anything_open()) {
    ++workers;
    ++active;
    tasks.spawn(work());
  }
}

net::Task<void> Download::Impl::work() {
  unsigned failures = 0;
  while (going() && !(plan && plan->complete())) {
    std::uint64_t before = plan ? plan->done_bytes() : 0;
    auto fetched = co_await fetch_next();
    if (fetched && *fetched == Asked::nothing_left) break;
    if (fetched) {
      failures = 0;
      continue;
    }
    if (!going()) break;
    Error error = std::move(fetched).error();
    if (!may_pass(error)) {
      (void)give_up(std::move(error));
      break;
    }
    // Progress of the others counts too: while there is any, the source is there.
    if (plan && plan->done_bytes() > before) failures = 0;
    if (++failures >= parts.settings.tries) {
      last = std::move(error);
      break;
    }
    if (!co_await net::sleep_for(pause_after(failures, error))) break;
  }
  --workers;
  hash_bell.ring();
  leave();
}

net::Task<Result<Download::Impl::Asked>> Download::Impl::fetch_next() {
  std::optional<Piece> piece;
  if (plan) {
    piece = plan->take(one_stream ? plan->size() : piece_bytes);
    if (!piece) co_return Asked::nothing_left;
  }
  auto fetched = co_await fetch(piece);
  if (piece && plan) plan->give_back(piece->id);
  if (!fetched) co_return std::unexpected(std::move(fetched).error());
  co_return Asked::some;
}

net::Task<Result<void>> Download::Impl::fetch(std::optional<Piece>& piece) {
  RangeAsk wanted;
  wanted.range = piece ? ByteRange{piece->begin, piece->end} : ByteRange{0, piece_bytes};
  if (plan && !endless) wanted.size = plan->size();
  wanted.tag = tag;
  auto since = parts.clock.now();
  bool direct = location.empty();
  CORRAL_CO_TRY(auto answer, co_await ask(wanted));
  const auto& headers = answer.response->headers();
  auto verdict = judge(wanted, {answer.response->status(), headers.get("content-range"),
                                headers.get("content-length"), headers.get("etag")});
  if (verdict.kind == RangeVerdict::Kind::refused) co_return refused(answer, direct);
  std::uint64_t end = verdict.range.end;
  CORRAL_CO_TRY(piece, co_await accept(std::move(verdict), piece));
  if (!piece) co_return Result<void>();  // an empty file
  // Whoever stopped it may have done so while a thread worked, which nothing interrupts.
  if (!going()) co_return fail(ErrorCode::cancelled, "the download was stopped");
  location = answer.url == job.url ? std::string() : answer.url;
  CORRAL_CO_CHECK(co_await receive(*answer.response, *piece, end));
  learn_speed(piece->end - piece->begin, since);
  co_return Result<void>();
}

net::Task<Result<WebAnswer>> Download::Impl::ask(const RangeAsk& wanted) {
  WebRequest request;
  request.url = location.empty() ? job.url : location;
  CORRAL_CO_TRY(auto home, split_url(job.url));
  request.bearer = job.bearer;
  request.token_origin = home.origin;
  if (!one_stream) {
    request.headers.emplace_back(
        "Range", fmt::format("bytes={}-{}", wanted.range.begin, wanted.range.end - 1));
    if (is_strong_tag(tag)) request.headers.emplace_back("If-Range", tag);
  }
  co_return co_await parts.web.get(std::move(request));
}

Error Download::Impl::refused(const WebAnswer& answer, bool direct) {
  Error error = status_error(answer.response->status(), answer.response->headers(),
                             fmt::format("'{}'", job.label), answer.url);
  if (direct) return error;
  // An address behind a redirect is good for a while only: ask for a new one.
  location.clear();
  error.code = ErrorCode::unavailable;
  return error;
}

// The piece that the answer's bytes are for; nothing for an empty file.
net::Task<Result<std::optional<Piece>>> Download::Impl::accept(RangeVerdict verdict,
                                                               std::optional<Piece> piece) {
  if (verdict.kind == RangeVerdict::Kind::wrong) {
    co_return give_up(fail(ErrorCode::upstream, fmt::format("the source of '{}' cannot be used: {}",
                                                            job.label, verdict.why)));
  }
  if (verdict.kind != RangeVerdict::Kind::changed && job.bytes && verdict.total &&
      *job.bytes != *verdict.total) {
    co_return give_up(
        fail(ErrorCode::upstream, fmt::format("'{}' has {} bytes, and {} were promised", job.label,
                                              *verdict.total, *job.bytes))
            .hint("the source contradicts itself; try again later or another revision"));
  }
  if (verdict.kind == RangeVerdict::Kind::changed) {
    ++changes;
    co_return begin_again(fail(ErrorCode::conflict, "the file is another one now"));
  }
  if (verdict.kind == RangeVerdict::Kind::whole) {
    co_return co_await accept_whole(std::move(verdict), piece);
  }
  if (!plan) {
    CORRAL_CO_CHECK(co_await make_plan(*verdict.total));
    tag = verdict.tag;
    if (plan->size() == 0) co_return std::optional<Piece>();
    piece = plan->take(piece_bytes);
  }
  start_workers();
  co_return piece;
}

net::Task<Result<std::optional<Piece>>> Download::Impl::accept_whole(RangeVerdict verdict,
                                                                     std::optional<Piece> piece) {
  if (plan && !one_stream) {
    if (plan->done_bytes() == 0 && workers == 1) {
      plan->give_back(piece->id);
      plan.reset();
    } else if (workers == 1) {
      // What is there is of no use to a server that begins at the front.
      one_stream = true;
      co_return begin_again(fail(ErrorCode::upstream, "the source sends no ranges any more"));
    } else {
      co_return fail(ErrorCode::upstream, "the source sent the whole file instead of a part");
    }
  }
  if (plan && plan->done_bytes() > 0) {
    // The one stream was cut: from the front again.
    co_return begin_again(fail(
        ErrorCode::upstream,
        fmt::format("the source cuts its answer short and cannot go on within '{}'", job.label)));
  }
  one_stream = true;
  tag = verdict.tag;
  if (plan) co_return piece;
  endless = !verdict.total && !job.bytes;
  if (endless) {
    plan.emplace(kEndless);
  } else {
    CORRAL_CO_CHECK(co_await make_plan(verdict.total ? *verdict.total : *job.bytes));
  }
  if (plan->size() == 0) co_return std::optional<Piece>();
  co_return plan->take(plan->size());
}

net::Task<Result<void>> Download::Impl::pause_for(std::uint64_t bytes) {
  auto pause = parts.throttle.take(bytes, parts.clock.now());
  if (pause.count() == 0) co_return Result<void>();
  co_return co_await net::sleep_for(pause);
}

// `end`: where the answer's bytes end; 0 when it did not say.
net::Task<Result<void>> Download::Impl::receive(net::ClientResponse& from, Piece piece,
                                                std::uint64_t end) {
  std::string buffer;
  buffer.reserve(kBuffer);
  std::uint64_t at = piece.begin;  // of the first byte in the buffer
  bool counted = end != 0;
  auto written = parts.clock.now();
  Result<void> result;
  while (going()) {
    std::uint64_t limit = plan->end_of(piece.id);
    std::uint64_t next = at + buffer.size();
    if (next >= limit && counted) break;
    auto part = co_await from.read_some();
    if (!part) {
      result = std::unexpected(std::move(part).error());
      break;
    }
    if (part->empty()) break;
    limit = plan->end_of(piece.id);
    if (part->size() > limit - std::min(limit, next) && limit == piece.end) {
      result = give_up(fail(ErrorCode::upstream,
                            fmt::format("the source sends more of '{}' than it has", job.label)));
      break;
    }
    // Past a limit that came closer, the bytes belong to another piece.
    buffer.append(part->substr(0, limit - std::min(limit, next)));
    auto paused = co_await pause_for(part->size());
    if (!paused) {
      result = std::move(paused);
      break;
    }
    // What comes slowly is written as well: nothing is lost that is older than a moment.
    bool full = buffer.size() > kBuffer - kReadBlock;
    if (!full && parts.clock.now() - written < kWriteEvery) continue;
    CORRAL_CO_CHECK(co_await write(piece, at, buffer));
    at += buffer.size();
    buffer.clear();
    written = parts.clock.now();
  }
  if (!buffer.empty()) {
    CORRAL_CO_CHECK(co_await write(piece, at, buffer));
    at += buffer.size();
  }
  if (!result) co_return result;
  if (!going()) co_return fail(ErrorCode::cancelled, "the download was stopped");
  if (endless) {
    // The end of the answer is the end of the file.
    plan.emplace(at);
    ByteRange all{0, at};
    plan->restore(std::span(&all, 1));
    endless = false;
    co_return Result<void>();
  }
  std::uint64_t wanted = counted ? std::min(end, plan->end_of(piece.id)) : plan->end_of(piece.id);
  if (at < wanted) {
    co_return fail(ErrorCode::upstream,
                   fmt::format("the source sent too little of '{}'", job.label));
  }
  co_return Result<void>();
}

net::Task<Result<void>> Download::Impl::write(const Piece& piece, std::uint64_t at,
                                              std::string& buffer) {
  if (at == 0 && job.gguf && !std::string_view(buffer).starts_with("GGUF")) {
    co_return give_up(
        fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a GGUF file", job.label))
            .hint("Corral runs models in the GGUF format; look for a repository whose "
                  "name ends in GGUF"));
  }
  bool hash_it = order.claim(at);
  std::function<Result<void>()> work = [this, at, hash_it, &buffer]() -> Result<void> {
    CORRAL_CHECK(file->write_at(at, buffer));
    if (hash_it) hash.update(buffer);
    return {};
  };
  auto written = co_await net::run_blocking(parts.pool, std::move(work));
  if (hash_it) order.release(written ? at + buffer.size() : at);
  if (!written) co_return give_up(std::move(written).error());
  plan->wrote(piece.id, {at, at + buffer.size()});
  hash_bell.ring();
  bool due = parts.clock.now() - saved >= kSaveEvery;
  if (due && !saving && !one_stream && going()) {
    saving = true;
    ++active;
    tasks.spawn(save());
  }
  co_return Result<void>();
}

void Download::Impl::learn_speed(std::uint64_t bytes, sys::Steady since) {
  std::chrono::duration<double> took = parts.clock.now() - since;
  double rate = static_cast<double>(bytes) / std::max(took.count(), 0.001);
  double wanted = std::min(rate * kPieceSeconds, static_cast<double>(kMostPiece));
  piece_bytes = std::max(kLeastPiece, static_cast<std::uint64_t>(wanted));
}

}  // namespace corral::models

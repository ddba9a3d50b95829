#include "net/static_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <optional>

#include "base/text.hpp"
#include "sys/fd.hpp"

namespace corral::net {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kAtOnce = 1u << 20;  // larger files are streamed
constexpr std::size_t kPiece = 256 * 1024;

struct Suffix {
  std::string_view suffix;
  std::string_view type;
};
constexpr Suffix kTypes[] = {
    {".html", "text/html; charset=utf-8"},
    {".htm", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".md", "text/markdown; charset=utf-8"},
    {".xml", "application/xml"},
    {".yaml", "application/yaml"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".webp", "image/webp"},
    {".avif", "image/avif"},
    {".ico", "image/x-icon"},
    {".woff", "font/woff"},
    {".woff2", "font/woff2"},
    {".ttf", "font/ttf"},
    {".wasm", "application/wasm"},
    {".pdf", "application/pdf"},
    {".wav", "audio/wav"},
    {".mp3", "audio/mpeg"},
    {".ogg", "audio/ogg"},
    {".mp4", "video/mp4"},
    {".webm", "video/webm"},
    {".gz", "application/gzip"},
    {".zip", "application/zip"},
};

std::string_view type_of(std::string_view name) {
  std::string low = to_lower(name);
  for (const auto& [suffix, type] : kTypes) {
    if (low.ends_with(suffix)) return type;
  }
  return "application/octet-stream";
}

// --- from the path of a request to a file

// The path below the root; nullopt for whatever could lead elsewhere.
std::optional<std::string> safe_path(std::string_view encoded) {
  std::string low = to_lower(encoded);
  if (low.find("%2f") != std::string::npos || low.find("%5c") != std::string::npos) {
    return std::nullopt;
  }
  auto decoded = decode_path(encoded);
  if (!decoded || decoded->find('\\') != std::string::npos) return std::nullopt;
  if (decoded->find('\0') != std::string::npos || !is_utf8(*decoded)) return std::nullopt;
  std::string_view rest = *decoded;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.empty()) return "";
  std::string_view inner = rest.ends_with('/') ? rest.substr(0, rest.size() - 1) : rest;
  for (auto part : split(inner, '/')) {
    if (part.empty() || part.starts_with('.')) return std::nullopt;  // also "." and ".."
  }
  return std::string(rest);
}

struct Found {
  sys::Fd fd;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // seconds
  std::string etag;
  std::string type;
  bool is_folder = false;  // without the slash at the end that its links need
};
// std::function wants copies.
using FoundPtr = std::shared_ptr<Found>;

bool is_within(const fs::path& path, const fs::path& root) {
  auto [end, at] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return end == root.end();
}

// Size and time of the file; null when it is none that can be read.
FoundPtr open_file(const fs::path& path) {
  auto found = std::make_shared<Found>();
  found->fd = sys::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info{};
  if (!found->fd.valid() || ::fstat(found->fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return nullptr;
  }
  found->size = static_cast<std::uint64_t>(info.st_size);
  found->modified = info.st_mtim.tv_sec;
  // Weak: the same file may be sent in several codings.
  found->etag = fmt::format("W/\"{:x}-{:x}-{:x}\"", found->size,
                            static_cast<std::uint64_t>(info.st_mtim.tv_sec),
                            static_cast<std::uint64_t>(info.st_mtim.tv_nsec));
  return found;
}

// Blocking. Links are followed first and judged by where they lead.
FoundPtr find_file(const std::string& root, const std::string& relative) {
  std::error_code error;
  fs::path base = fs::canonical(root, error);
  if (error) return nullptr;
  fs::path path = fs::canonical(base / relative, error);
  if (error || !is_within(path, base)) return nullptr;
  if (fs::is_directory(path, error)) {
    if (!relative.empty() && !relative.ends_with('/')) {
      auto folder = std::make_shared<Found>();
      folder->is_folder = true;
      return folder;
    }
    path = fs::canonical(path / "index.html", error);
    if (error || !is_within(path, base)) return nullptr;
  } else if (relative.ends_with('/')) {
    return nullptr;
  }
  auto found = open_file(path);
  if (found) found->type = type_of(path.filename().string());
  return found;
}

// Blocking.
FoundPtr find_chosen(const ChosenFile& wanted) {
  std::error_code error;
  fs::path path = fs::canonical(wanted.path, error);
  if (error) return nullptr;
  auto found = open_file(path);
  if (!found) return nullptr;
  found->etag = wanted.etag;
  found->type = wanted.type;
  return found;
}

using Piece = Result<std::string>;

Piece read_piece(const FoundPtr& file, std::uint64_t offset, std::size_t length) {
  std::string out(length, '\0');
  std::size_t got = 0;
  while (got < length) {
    ssize_t step =
        ::pread(file->fd.get(), out.data() + got, length - got, static_cast<off_t>(offset + got));
    if (step < 0 && errno == EINTR) continue;
    if (step < 0) return fail_os("cannot read the file", errno);
    if (step == 0) return fail(ErrorCode::io, "the file became shorter while it was read");
    got += static_cast<std::size_t>(step);
  }
  return out;
}

// --- conditions and ranges

std::string http_date(std::int64_t seconds) {
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT",
                     fmt::gmtime(static_cast<std::time_t>(seconds)));
}

// IMF-fixdate (RFC 9110 section 5.6.7) to seconds; nullopt for anything else.
std::optional<std::int64_t> parse_http_date(std::string_view text) {
  std::tm when{};
  const std::string copy(text);  // with the NUL that strptime() wants; `end` points into it
  const char* end = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &when);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return static_cast<std::int64_t>(::timegm(&when));
}

bool etag_listed(std::string_view list, std::string_view etag) {
  auto opaque = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
  for (auto item : split(list, ',')) {
    item = trim(item);
    if (item == "*" || opaque(item) == opaque(etag)) return true;
  }
  return false;
}

bool not_modified(const Headers& headers, const Found& file) {
  if (auto tags = headers.get("if-none-match")) return etag_listed(*tags, file.etag);
  auto since = headers.get("if-modified-since");
  auto time = since ? parse_http_date(*since) : std::nullopt;
  return time && file.modified <= *time;
}

struct Range {
  enum class Kind { whole, part, unsatisfiable } kind = Kind::whole;
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

// RFC 9110 section 14: what is no single proper range is ignored.
Range range_of(const Headers& headers, const Found& file) {
  Range whole{Range::Kind::whole, 0, file.size};
  auto wanted = headers.get("range");
  if (!wanted || headers.count("range") != 1 || !to_lower(*wanted).starts_with("bytes=")) {
    return whole;
  }
  if (auto unless = headers.get("if-range")) {
    // A weak tag proves nothing (section 13.1.5).
    bool same_bytes = file.etag.starts_with('"') && *unless == file.etag;
    if (!same_bytes && *unless != http_date(file.modified)) return whole;
  }
  std::string_view text = trim(wanted->substr(6));
  auto dash = text.find('-');
  if (dash == std::string_view::npos) return whole;
  auto first = number_in(text.substr(0, dash)), last = number_in(text.substr(dash + 1));
  bool open_end = dash + 1 == text.size();
  Range none{Range::Kind::unsatisfiable, 0, 0};
  if (dash == 0) {  // the last so many
    if (!last) return whole;
    std::uint64_t length = std::min(*last, file.size);
    return length == 0 ? none : Range{Range::Kind::part, file.size - length, length};
  }
  if (!first || (!last && !open_end) || (last && *last < *first)) return whole;
  if (*first >= file.size) return none;
  std::uint64_t end = std::min(last.value_or(file.size - 1), file.size - 1);
  return {Range::Kind::part, *first, end - *first + 1};
}

// --- answers

Task<void> refuse(HttpExchange& exchange, int status, std::string_view text) {
  HttpReply reply;
  reply.status = status;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = fmt::format("{}\n", text);
  auto ignored = co_await exchange.reply(std::move(reply));
}

Task<void> redirect_to_folder(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  std::string query = request.query.empty() ? "" : fmt::format("?{}", request.query);
  HttpReply reply;
  reply.status = 301;
  reply.content_type = "text/plain; charset=utf-8";
  reply.headers.set("Location", fmt::format("{}/{}", request.path, query));
  auto ignored = co_await exchange.reply(std::move(reply));
}

void add_file_headers(Headers& headers, const Found& file) {
  headers.set("ETag", file.etag);
  headers.set("Last-Modified", http_date(file.modified));
  headers.set("Accept-Ranges", "bytes");
  headers.set("Cache-Control", "no-cache");  // ask again: the tag makes that cheap
  headers.set("X-Content-Type-Options", "nosniff");
}

Task<void> stream_file(HttpExchange& exchange, BlockingPool& pool, FoundPtr file, int status,
                       Range range) {
  auto begun = exchange.begin(status, file->type);
  if (!begun) co_return;
  std::uint64_t sent = 0;
  while (sent < range.length && exchange.request().method != "HEAD") {
    auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, range.length - sent));
    std::function<Piece()> read = [file, offset = range.first + sent, length] {
      return read_piece(file, offset, length);
    };
    auto piece = co_await run_blocking<Piece>(pool, std::move(read));
    if (!piece) {
      exchange.abort();
      co_return;
    }
    std::string_view part = *piece;
    auto done = co_await exchange.send(std::span(&part, 1));
    if (!done) co_return;
    sent += length;
  }
  auto ignored = co_await exchange.finish();
}

Task<void> answer(HttpExchange& exchange, BlockingPool& pool, FoundPtr file) {
  const Headers& asked = exchange.request().headers;
  add_file_headers(exchange.extra_headers(), *file);
  HttpReply reply;
  reply.content_type = file->type;
  if (not_modified(asked, *file)) {
    reply.status = 304;
    auto ignored = co_await exchange.reply(std::move(reply));
    co_return;
  }
  Range range = range_of(asked, *file);
  if (range.kind == Range::Kind::unsatisfiable) {
    exchange.extra_headers().set("Content-Range", fmt::format("bytes */{}", file->size));
    co_await refuse(exchange, 416, "the file is shorter than that");
    co_return;
  }
  if (range.kind == Range::Kind::part) {
    reply.status = 206;
    reply.compressible = false;  // the range counts plain bytes
    exchange.extra_headers().set(
        "Content-Range",
        fmt::format("bytes {}-{}/{}", range.first, range.first + range.length - 1, file->size));
  }
  if (range.length > kAtOnce) {
    co_await stream_file(exchange, pool, file, reply.status, range);
    co_return;
  }
  std::function<Piece()> read = [file, range] {
    return read_piece(file, range.first, static_cast<std::size_t>(range.length));
  };
  auto content = co_await run_blocking<Piece>(pool, std::move(read));
  if (!content) {
    co_await refuse(exchange, 500, "the file cannot be read");
    co_return;
  }
  reply.body = std::move(*content);
  auto ignored = co_await exchange.reply(std::move(reply));
}

}  // namespace

Task<void> send_file(HttpExchange& exchange, BlockingPool& pool, ChosenFile chosen) {
  std::function<FoundPtr()> find = [chosen] { return find_chosen(chosen); };
  auto file = co_await run_blocking<FoundPtr>(pool, std::move(find));
  if (file) {
    co_await answer(exchange, pool, std::move(file));
  } else {
    co_await refuse(exchange, 404, "there is no such file");
  }
}

StaticFiles::StaticFiles(std::string root, BlockingPool& pool)
    : root_(std::move(root)), pool_(pool) {}

Task<void> StaticFiles::serve(HttpExchange& exchange, std::string path) {
  const HttpRequest& request = exchange.request();
  if (request.method != "GET" && request.method != "HEAD") {
    exchange.extra_headers().set("Allow", "GET, HEAD");
    co_await refuse(exchange, 405, "only GET and HEAD are allowed here");
    co_return;
  }
  auto relative = safe_path(path);
  FoundPtr file;
  if (relative) {
    std::function<FoundPtr()> find = [root = root_, wanted = *relative] {
      return find_file(root, wanted);
    };
    file = co_await run_blocking<FoundPtr>(pool_, std::move(find));
  }
  if (!file) {
    co_await refuse(exchange, 404, "there is no such file");
    co_return;
  }
  if (file->is_folder) {
    co_await redirect_to_folder(exchange);
    co_return;
  }
  co_await answer(exchange, pool_, std::move(file));
}

}  // namespace corral::net

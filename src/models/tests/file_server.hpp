// A server of files for the tests of what downloads: one file, with the faults that a test wants.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "net/http_server.hpp"
#include "net/tests/test_support.hpp"

namespace corral::models {

struct FileFaults {
  bool ranges = true;
  bool tag = true;
  bool chunked = false;
  std::size_t cut_after = 0;   // bytes of an answer; 0: none is cut
  int cuts = 0;                // so many; 0: all
  int status = 0;              // instead of the file
  int failures = 0;            // so many; 0: all
  std::size_t hold_after = 0;  // bytes, then nothing until `release`
  std::string redirect;        // of "/redirect"
};

class FileServer {
 public:
  explicit FileServer(net::testing::Loops& loops)
      : server_(
            loops.shards(), options(),
            [this](net::HttpExchange& exchange) { return handle(exchange); },
            [](const net::HttpRequest&, const net::HttpOutcome&) {}),
        loops_(loops) {
    port_ = server_.listen("127.0.0.1", 0)->port;
    server_.start();
  }
  // Before the loops end.
  void stop() {
    released_ = true;
    server_.drain();
    loops_.run(loops_.shards().control(), stop_task());
  }

  std::string url(std::string_view path = "/file") const {
    return fmt::format("http://127.0.0.1:{}{}", port_, path);
  }
  void put(std::string path, std::string content) {
    std::lock_guard lock(mutex_);
    files_[std::move(path)] = std::move(content);
  }
  void set(FileFaults faults) {
    std::lock_guard lock(mutex_);
    faults_ = std::move(faults);
  }
  void release() { released_ = true; }
  std::vector<std::string> ranges() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  int answers() const { return answers_; }
  std::vector<std::string> tokens() const {
    std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  static net::HttpServerOptions options() {
    net::HttpServerOptions made;
    made.compression = false;
    return made;
  }
  net::Task<void> stop_task() { (void)co_await server_.stop(std::chrono::milliseconds(0)); }

  struct Wanted {
    std::optional<std::string> content;
    FileFaults faults;
    bool cut = false;
    bool fails = false;
  };

  Wanted look(const net::HttpRequest& request) {
    std::lock_guard lock(mutex_);
    seen_.emplace_back(request.headers.get("range").value_or("-"));
    tokens_.emplace_back(request.headers.get("authorization").value_or(""));
    Wanted wanted;
    wanted.faults = faults_;
    auto found = files_.find(std::string(request.path));
    if (found != files_.end()) wanted.content = found->second;
    wanted.cut = faults_.cut_after > 0 && (faults_.cuts == 0 || cut_ < faults_.cuts);
    wanted.fails = faults_.status > 0 && (faults_.failures == 0 || failed_ < faults_.failures);
    if (wanted.content && wanted.cut) ++cut_;
    if (wanted.content && wanted.fails) ++failed_;
    return wanted;
  }

  net::Task<void> handle(net::HttpExchange& exchange) {
    ++answers_;
    const auto& request = exchange.request();
    Wanted wanted = look(request);
    net::HttpReply reply;
    if (request.path == "/redirect") {
      reply.status = 302;
      reply.headers.set("location", wanted.faults.redirect);
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    if (!wanted.content || wanted.fails) {
      reply.status = wanted.content ? wanted.faults.status : 404;
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    co_await send(exchange, std::move(*wanted.content), wanted.faults, wanted.cut);
  }

  net::Task<void> send(net::HttpExchange& exchange, std::string content, FileFaults faults,
                       bool cut) {
    std::string tag = fmt::format("\"{}-{}\"", content.size(), std::hash<std::string>()(content));
    const auto& headers = exchange.request().headers;
    std::size_t begin = 0;
    std::size_t end = content.size();
    int status = 200;
    auto range = headers.get("range");
    auto if_range = headers.get("if-range");
    if (range && faults.ranges && (!if_range || *if_range == tag)) {
      auto dash = range->find('-');
      begin = static_cast<std::size_t>(*parse_int(range->substr(6, dash - 6)));
      end = std::min(end, static_cast<std::size_t>(*parse_int(range->substr(dash + 1))) + 1);
      status = begin >= content.size() ? 416 : 206;
    }
    auto& extra = exchange.extra_headers();
    if (faults.tag) extra.set("etag", tag);
    if (status == 416) {
      net::HttpReply reply;
      reply.status = status;
      reply.headers.set("content-range", fmt::format("bytes */{}", content.size()));
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    if (status == 206) {
      extra.set("content-range", fmt::format("bytes {}-{}/{}", begin, end - 1, content.size()));
    }
    std::string body = content.substr(begin, end - begin);
    if (!cut && faults.hold_after == 0 && !faults.chunked) {
      net::HttpReply reply;
      reply.status = status;
      reply.content_type = "application/octet-stream";
      reply.body = std::move(body);
      reply.compressible = false;
      (void)co_await exchange.reply(std::move(reply));
      co_return;
    }
    co_await stream(exchange, status, std::move(body), faults, cut);
  }

  net::Task<void> stream(net::HttpExchange& exchange, int status, std::string body,
                         FileFaults faults, bool cut) {
    if (!exchange.begin(status, "application/octet-stream")) co_return;
    std::size_t first = body.size();
    if (cut) first = std::min(first, faults.cut_after);
    if (faults.hold_after > 0) first = std::min(first, faults.hold_after);
    std::string_view parts[] = {std::string_view(body).substr(0, first)};
    (void)co_await exchange.send(parts);
    if (cut) {
      exchange.abort();
      co_return;
    }
    while (first < body.size() && !released_) {
      if (!co_await net::sleep_for(std::chrono::milliseconds(2))) co_return;
    }
    if (first < body.size()) {
      std::string_view rest[] = {std::string_view(body).substr(first)};
      (void)co_await exchange.send(rest);
    }
    (void)co_await exchange.finish();
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::string> files_;
  FileFaults faults_;
  int cut_ = 0;
  int failed_ = 0;
  std::vector<std::string> seen_;
  std::vector<std::string> tokens_;
  std::atomic<int> answers_{0};
  std::atomic<bool> released_{false};
  std::uint16_t port_ = 0;
  net::HttpServer server_;
  net::testing::Loops& loops_;
};

}  // namespace corral::models

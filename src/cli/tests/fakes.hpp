// A scripted console, terminal and server for the tests of the commands.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/tests/support/source_dir.hpp"
#include "cli/console.hpp"
#include "cli/dispatch.hpp"
#include "cli/server_api.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::cli {

class FakeConsole final : public Console {
 public:
  void out(std::string_view bytes) override { out_text += bytes; }
  void err(std::string_view bytes) override { err_text += bytes; }
  Result<std::string> read_input(std::size_t limit) override {
    if (input_fails) return fail(ErrorCode::io, "standard input could not be read");
    EXPECT_LE(input.size(), limit);
    return input;
  }
  bool in_is_terminal() const override { return in_terminal; }
  bool out_is_terminal() const override { return out_terminal; }
  bool err_is_terminal() const override { return err_terminal; }
  bool broken() const override { return is_broken; }

  std::string out_text, err_text, input;
  bool in_terminal = true, out_terminal = false, err_terminal = false;
  bool input_fails = false, is_broken = false;
};

class ScriptedLines final : public LineReader {
 public:
  explicit ScriptedLines(std::deque<LineRead> lines) : lines_(std::move(lines)) {}
  LineRead read(const std::string& prompt) override {
    prompts.push_back(prompt);
    if (lines_.empty()) return {LineRead::Kind::end, {}};
    LineRead next = std::move(lines_.front());
    lines_.pop_front();
    return next;
  }
  void remember(const std::string& line) override { remembered.push_back(line); }

  std::vector<std::string> prompts, remembered;

 private:
  std::deque<LineRead> lines_;
};

// What a server would answer, by "METHOD /path"; several answers for one path come in turn, the
// last one stays.
class FakeServer {
 public:
  struct Reply {
    int status = 200;
    std::string body;                 // of a plain answer
    std::vector<std::string> stream;  // of an event stream, piece by piece
    std::optional<Failure> failure;   // instead of, or after, the stream
  };
  struct Seen {
    std::string method, path, body;
    bool event_stream;
    std::string content_type;
    bool only_new;
  };

  void on(const std::string& what, Reply reply) { replies[what].push_back(std::move(reply)); }

  std::map<std::string, std::deque<Reply>> replies;
  std::vector<Seen> seen;
  ServerAddress address;
};

class FakeWire final : public ServerWire {
 public:
  explicit FakeWire(FakeServer& server) : server_(server) {}

  Outcome<WireAnswer> exchange(const WireRequest& request, const Sink& sink) override {
    server_.seen.push_back({request.method, request.path, request.body, request.event_stream,
                            request.content_type, request.only_new});
    auto found = server_.replies.find(request.method + " " + request.path);
    if (found == server_.replies.end()) {
      return WireAnswer{404, "application/problem+json",
                        R"({"title":"Not found","status":404,"detail":"no such thing"})"};
    }
    FakeServer::Reply reply = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    if (sink) {
      for (const std::string& piece : reply.stream) {
        if (!sink(piece)) break;
      }
    }
    if (reply.failure) return std::unexpected(*reply.failure);
    return WireAnswer{reply.status, "application/json", reply.body};
  }
  std::string server() const override { return "http://127.0.0.1:8585"; }

 private:
  FakeServer& server_;
};

// Files in memory.
class MemoryFiles final : public sys::Files {
 public:
  Result<sys::FileInfo> stat(const sys::Path& path) override {
    if (!files.contains(path.string())) return missing(path);
    return sys::FileInfo{.path = path, .size = files[path.string()].size()};
  }
  Result<std::vector<sys::FileInfo>> list(const sys::Path&) override {
    return fail(ErrorCode::unsupported, "not here");
  }
  Result<std::unique_ptr<sys::ReadableFile>> open(const sys::Path& path) override {
    return missing(path);
  }
  Result<std::string> read(const sys::Path& path, std::uint64_t) override {
    auto found = files.find(path.string());
    if (found == files.end()) return missing(path);
    return found->second;
  }
  Result<void> write_atomic(const sys::Path& path, std::string_view content,
                            unsigned mode) override {
    if (full) return fail(ErrorCode::io, "no space left on the device");
    files[path.string()] = content;
    modes[path.string()] = mode;
    return {};
  }
  Result<void> make_directories(const sys::Path& path, unsigned mode) override {
    modes[path.string()] = mode;
    return {};
  }
  Result<void> remove(const sys::Path& path) override {
    files.erase(path.string());
    return {};
  }

  std::map<std::string, std::string> files;
  std::map<std::string, unsigned> modes;
  bool full = false;

 private:
  static std::unexpected<Error> missing(const sys::Path& path) {
    return std::unexpected(fail(ErrorCode::not_found, path.string() + " is not there"));
  }
};

// Everything around one run of the command line.
struct Stage {
  FakeConsole console;
  MemoryFiles files;
  sys::ManualClock clock;  // 2026-01-01T00:00:00Z
  FakeServer server;
  std::map<std::string, std::string> environment;
  std::deque<LineRead> lines;
  std::vector<std::string> prompts, remembered;
  ServeOptions served;
  int serve_code = 0;

  int run(std::vector<std::string> words);
};

// Hands a talk's records to the stage when the command lets go of its reader.
class StageReader final : public LineReader {
 public:
  explicit StageReader(Stage& stage) : stage_(stage), lines_(stage.lines) {}
  LineRead read(const std::string& prompt) override {
    stage_.prompts.push_back(prompt);
    return lines_.read(prompt);
  }
  void remember(const std::string& line) override { stage_.remembered.push_back(line); }

 private:
  Stage& stage_;
  ScriptedLines lines_;
};

inline int Stage::run(std::vector<std::string> words) {
  Hooks hooks{.serve =
                  [this](const ServeOptions& options) {
                    served = options;
                    return serve_code;
                  },
              .version = "9.8.7"};
  Surroundings around{
      .console = console,
      .files = files,
      .clock = clock,
      .environment = [this](const std::string& name) -> std::optional<std::string> {
        auto found = environment.find(name);
        return found == environment.end() ? std::nullopt : std::optional(found->second);
      },
      .all_environment = [this] { return environment; },
      .connect = [this](const ServerAddress& address) -> Outcome<std::unique_ptr<ServerWire>> {
        server.address = address;
        return std::make_unique<FakeWire>(server);
      },
      .reader = [this](sys::Files&, const sys::Path&) -> std::unique_ptr<LineReader> {
        return std::make_unique<StageReader>(*this);
      }};
  return dispatch(words, hooks, around);
}

inline LineRead typed(std::string text) { return {LineRead::Kind::line, std::move(text)}; }
inline LineRead ctrl_c() { return {LineRead::Kind::interrupted, {}}; }

// An event of a streamed chat completion.
inline std::string chat_event(const std::string& content) {
  return "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + content + "\"}}]}\n\n";
}
inline const std::string kStop =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
inline const std::string kDone = "data: [DONE]\n\n";

// Compares with tests/golden/NAME. With CORRAL_UPDATE_GOLDEN=1 the file is written instead.
inline void expect_golden(const std::string& name, const std::string& text) {
  std::string path = test::source_file("src/cli/tests/golden/" + name);
  if (std::getenv("CORRAL_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " is missing; CORRAL_UPDATE_GOLDEN=1 writes it";
  std::stringstream content;
  content << file.rdbuf();
  EXPECT_EQ(content.str(), text) << "golden file " << name;
}

}  // namespace corral::cli

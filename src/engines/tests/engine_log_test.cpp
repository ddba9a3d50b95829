#include "engines/core/engine_log.hpp"

#include <gtest/gtest.h>

#include "sys/clock.hpp"

namespace corral::engines::engine_log_test {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

Lines split_in_pieces(std::string_view text, std::size_t piece) {
  LineSplitter splitter;
  Lines lines;
  auto sink = [&](std::string_view line) { lines.emplace_back(line); };
  for (std::size_t at = 0; at < text.size(); at += piece)
    splitter.feed(text.substr(at, piece), sink);
  splitter.finish(sink);
  splitter.finish(sink);  // nothing is left for a second time
  return lines;
}

TEST(LineSplitter, AnyPiecesGiveTheSameLines) {
  std::string_view text = "one\n\ntwo\r\nthree \n\nlast";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(split_in_pieces(text, piece), (Lines{"one", "two", "three ", "last"})) << piece;
}

TEST(LineSplitter, LongLinesAreCutAndWhatFollowsIsWhole) {
  std::string text = std::string(1'000'000, 'x') + "\nnext\n" + std::string(5000, 'y');
  for (std::size_t piece : {std::size_t{1000}, std::size_t{4096}, text.size()}) {
    Lines lines = split_in_pieces(text, piece);
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(lines[0], std::string(LineSplitter::kMaxLine, 'x') + " [cut]");
    EXPECT_EQ(lines[1], "next");
    EXPECT_EQ(lines[2], std::string(LineSplitter::kMaxLine, 'y') + " [cut]");
  }
  std::string exact(LineSplitter::kMaxLine, 'z');
  EXPECT_EQ(split_in_pieces(exact + "\n", 100), Lines{exact});
}

TEST(EngineLine, LevelsOfThisVersion) {
  struct Case {
    std::string_view line;
    EngineLevel level;
    std::string_view text;
  };
  for (const Case& c : {
           Case{"0.00.008.541 I srv  llama_server: initializing ...", EngineLevel::info,
                "srv  llama_server: initializing ..."},
           Case{"1.02.039.907 E gguf_init_from_file: failed", EngineLevel::error,
                "gguf_init_from_file: failed"},
           Case{"0.00.001.000 W common: careful", EngineLevel::warning, "common: careful"},
           Case{"0.00.001.000 D slot: prompt text", EngineLevel::debug, "slot: prompt text"},
           Case{"0.00.001.000 T slot: prompt text", EngineLevel::debug, "slot: prompt text"},
           Case{"0.00.001.000 I", EngineLevel::info, ""},
           Case{"error: invalid argument: --x", EngineLevel::warning,
                "error: invalid argument: --x"},
           Case{"0.00.001.000 Xyz", EngineLevel::warning, "0.00.001.000 Xyz"},
           Case{"0.00.001.000 ? odd", EngineLevel::warning, "0.00.001.000 ? odd"},
           Case{"0.00.001.000 ", EngineLevel::warning, "0.00.001.000 "},
           Case{" I leading", EngineLevel::warning, " I leading"},
           Case{"", EngineLevel::warning, ""},
       }) {
    EngineLine parsed = parse_engine_line(c.line);
    EXPECT_EQ(parsed.level, c.level) << c.line;
    EXPECT_EQ(parsed.text, c.text) << c.line;
  }
}

TEST(LogTail, KeepsTheLastLines) {
  LogTail tail;
  EXPECT_EQ(tail.text(), "");
  for (int i = 0; i < 25; ++i) tail.add("line " + std::to_string(i));
  EXPECT_EQ(tail.lines().size(), LogTail::kLines);
  EXPECT_EQ(tail.lines().front(), "line 5");
  EXPECT_TRUE(tail.text().ends_with("line 23\nline 24"));
  tail.clear();
  EXPECT_TRUE(tail.lines().empty());
}

TEST(LineBudget, LimitsEachSecondAndReportsOnce) {
  sys::ManualClock clock;
  LineBudget budget(3);
  unsigned dropped = 9;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(budget.take(clock.now(), dropped));
  EXPECT_EQ(dropped, 0u);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(budget.take(clock.now(), dropped));
  EXPECT_EQ(dropped, 0u);
  clock.advance(1s);
  EXPECT_TRUE(budget.take(clock.now(), dropped));
  EXPECT_EQ(dropped, 5u);
  EXPECT_TRUE(budget.take(clock.now(), dropped));
  EXPECT_EQ(dropped, 0u);
}

LogTail tail_of(const Lines& lines) {
  LogTail tail;
  for (const std::string& line : lines) tail.add(line);
  return tail;
}

TEST(Diagnosis, KnownEndings) {
  struct Case {
    Lines lines;
    Fault fault;
    std::string_view says;
  };
  for (const Case& c : {
           Case{{"srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 1",
                 "exiting due to HTTP server error"},
                Fault::port_taken,
                "port was taken"},
           Case{{"error: invalid argument: --nonsense"}, Fault::permanent, "refused an argument"},
           Case{{"gguf_init_from_file: failed to open GGUF file '/m' (No such file)",
                 "load_model: failed to load model, '/m'"},
                Fault::permanent,
                "could not open"},
           Case{{"gguf: invalid magic characters: 'abcd'", "failed to load model"},
                Fault::permanent,
                "not a GGUF"},
           Case{{"data is not within the file bounds, model is corrupted or incomplete",
                 "failed to load model"},
                Fault::permanent,
                "cut short"},
           Case{{"unknown model architecture: 'new'", "failed to load model"},
                Fault::permanent,
                "architecture"},
           Case{{"ggml: failed to allocate buffer of size 99", "failed to create_context",
                 "failed to load model"},
                Fault::crash,
                "memory"},
           Case{{"failed to load model"}, Fault::permanent, "could not load the model"},
           Case{{"load: error loading model: error loading model hyperparameters: key not found: "
                 "a.b",
                 "failed to load model, '/m'"},
                Fault::permanent,
                "could not load the model: key not found: a.b"},
           Case{{"load: error loading model: no tensor 'x'", "failed to load model"},
                Fault::permanent,
                "could not load the model: no tensor 'x'"},
           Case{{"load: error loading model: cannot read /m", "error loading model",
                 "failed to load model"},
                Fault::permanent,
                "could not load the model"},
           Case{{"something else"}, Fault::crash, "exit code 1"},
           Case{{}, Fault::crash, "exit code 1"},
       }) {
    LogTail tail = tail_of(c.lines);
    auto [reason, fault] = diagnose({false, 1, "exit code 1"}, tail);
    EXPECT_EQ(fault, c.fault) << c.says;
    EXPECT_NE(reason.message.find(c.says), std::string::npos) << reason.message;
    EXPECT_NE(reason.message.find("exit code 1"), std::string::npos);
    EXPECT_EQ(reason.code, ErrorCode::unavailable);
    EXPECT_EQ(reason.cause, tail.text());
    // What the engine wrote may name files: it is for the log, not for clients.
    EXPECT_EQ(reason.message.find("/m"), std::string::npos);
  }
}

TEST(Diagnosis, AnEngineThatAbortsForItsRpcServerSaysSo) {
  auto lost = diagnose({true, 6, "signal 6 (Aborted)"},
                       tail_of({"/src/ggml-rpc.cpp:569: Remote RPC server crashed or returned "
                                "malformed response"}));
  EXPECT_EQ(lost.fault, Fault::crash);
  EXPECT_NE(lost.reason.message.find("one of its rpc-servers is gone"), std::string::npos);
  EXPECT_EQ(lost.reason.message.find("/src"), std::string::npos);
}

TEST(Diagnosis, AWrongProjectorIsNotTheModelsFault) {
  auto wrong = diagnose({false, 1, "exit code 1"},
                        tail_of({"srv    load_model: failed to load multimodal model, '/m/x'",
                                 "srv  llama_server: exiting due to model loading error"}));
  EXPECT_EQ(wrong.fault, Fault::permanent);
  EXPECT_NE(wrong.reason.message.find("projector"), std::string::npos);
}

TEST(Diagnosis, SignalsAreCrashesWhateverTheLogSays) {
  LogTail tail = tail_of({"failed to load model"});
  auto killed = diagnose({true, 9, "signal 9 (Killed)"}, tail);
  EXPECT_EQ(killed.fault, Fault::crash);
  EXPECT_NE(killed.reason.hint_text.find("memory"), std::string::npos);
  auto illegal = diagnose({true, 4, "signal 4 (Illegal instruction)"}, {});
  EXPECT_NE(illegal.reason.hint_text.find("GGML_NATIVE"), std::string::npos);
  auto other = diagnose({true, 11, "signal 11 (Segmentation fault)"}, {});
  EXPECT_NE(other.reason.message.find("signal 11"), std::string::npos);
  auto by_itself = diagnose({false, 0, "exit code 0"}, tail);
  EXPECT_EQ(by_itself.fault, Fault::crash);
}

}  // namespace
}  // namespace corral::engines::engine_log_test

#include "telemetry/log.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace corral::telemetry::log_test {
namespace {

namespace fs = std::filesystem;

class LogFile : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("corral_log_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  LogOptions options() const { return {.file = (folder_ / "corral.log").string()}; }

  std::string content(const std::string& name = "corral.log") const {
    std::ifstream file(folder_ / name);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  static std::shared_ptr<SpdlogSink> open(const LogOptions& options) {
    auto sink = SpdlogSink::open(options);
    EXPECT_TRUE(sink) << sink.error().describe();
    return *sink;
  }

  fs::path folder_;
};

long lines_of(const std::string& text) { return std::ranges::count(text, '\n'); }

TEST_F(LogFile, WritesRecordsOfItsLevelAndAbove) {
  auto sink = open(options());
  Logger log(sink, "app");
  log.debug("not seen");
  log.info("seen", {{"n", 1}});
  log.named("net").warn("seen too");
  log.error("and this");
  sink->flush();
  std::string text = content();
  EXPECT_EQ(lines_of(text), 3);
  EXPECT_NE(text.find("INFO  app seen n=1\n"), std::string::npos);
  EXPECT_NE(text.find("WARN  net seen too\n"), std::string::npos);
  EXPECT_EQ(text.find("not seen"), std::string::npos);
  EXPECT_EQ(sink->lost(), 0u);
}

TEST_F(LogFile, LevelCanChangeWhileRunning) {
  auto sink = open(options());
  Logger log(sink, "app");
  sink->set_level(LogLevel::debug);
  log.debug("now seen");
  sink->set_level(LogLevel::off);
  EXPECT_FALSE(log.enabled(LogLevel::error));
  log.error("silent");
  sink->write({LogLevel::error, "app", "silent", {}});  // also past the front's own check
  sink->flush();
  EXPECT_EQ(lines_of(content()), 1);
}

TEST_F(LogFile, WarningsAreWrittenAtOnceAndInfoByFlush) {
  auto sink = open(options());
  Logger log(sink, "app");
  log.info("first");  // long after the last write: goes out at once
  log.info("second");
  EXPECT_EQ(lines_of(content()), 1);
  log.warn("third");
  EXPECT_EQ(lines_of(content()), 3);
  log.info("fourth");
  EXPECT_EQ(lines_of(content()), 3);
  sink->flush();
  EXPECT_EQ(lines_of(content()), 4);
}

TEST_F(LogFile, TheEndWritesWhatWaits) {
  {
    auto sink = open(options());
    Logger log(sink, "app");
    for (int i = 0; i < 10; ++i) log.info("line");
  }
  EXPECT_EQ(lines_of(content()), 10);
}

TEST_F(LogFile, WritesJson) {
  auto with_json = options();
  with_json.format = LogFormat::json;
  auto sink = open(with_json);
  Logger(sink, "app").warn("hello", {{"who", "you"}});
  EXPECT_NE(content().find(R"("level":"warn","component":"app","message":"hello","who":"you"})"),
            std::string::npos);
}

TEST_F(LogFile, AColourWishIsIgnoredInAFile) {
  auto coloured = options();
  coloured.colour = true;
  auto sink = open(coloured);
  Logger(sink, "app").error("plain");
  EXPECT_EQ(content().find('\033'), std::string::npos);
}

TEST_F(LogFile, IsNotReadableByOthers) {
  auto sink = open(options());
  auto mode = fs::status(folder_ / "corral.log").permissions();
  EXPECT_EQ(mode & fs::perms::others_all, fs::perms::none);
}

TEST_F(LogFile, RotatesPastItsSizeAndKeepsSoMany) {
  auto small = options();
  small.rotate_bytes = 200;
  small.rotate_files = 2;
  auto sink = open(small);
  Logger log(sink, "app");
  for (int i = 0; i < 12; ++i) log.warn("a line of some length", {{"number", i}});
  EXPECT_TRUE(fs::exists(folder_ / "corral.log.1"));
  EXPECT_TRUE(fs::exists(folder_ / "corral.log.2"));
  EXPECT_FALSE(fs::exists(folder_ / "corral.log.3"));
  EXPECT_LE(fs::file_size(folder_ / "corral.log"), 200u);
  EXPECT_LE(fs::file_size(folder_ / "corral.log.1"), 200u);
  EXPECT_NE(content().find("number=11\n"), std::string::npos);
  EXPECT_EQ(sink->lost(), 0u);
}

TEST_F(LogFile, KeepsNoOldFileWhenToldSo) {
  auto small = options();
  small.rotate_bytes = 100;
  small.rotate_files = 0;
  auto sink = open(small);
  Logger log(sink, "app");
  for (int i = 0; i < 5; ++i) log.warn("a line of some length", {{"number", i}});
  EXPECT_FALSE(fs::exists(folder_ / "corral.log.1"));
  EXPECT_NE(content().find("number=4\n"), std::string::npos);
  EXPECT_LE(fs::file_size(folder_ / "corral.log"), 100u);
}

TEST_F(LogFile, ARotationThatFailsLosesNothing) {
  auto small = options();
  small.rotate_bytes = 100;
  small.rotate_files = 1;
  fs::create_directories(folder_ / "corral.log.1" / "full");  // cannot be renamed over
  auto sink = open(small);
  Logger log(sink, "app");
  for (int i = 0; i < 5; ++i) log.warn("a line of some length", {{"number", i}});
  EXPECT_EQ(lines_of(content()), 5);
  EXPECT_EQ(sink->lost(), 0u);
}

TEST_F(LogFile, ContinuesInAnExistingFile) {
  { Logger(open(options()), "app").warn("one"); }
  { Logger(open(options()), "app").warn("two"); }
  EXPECT_EQ(lines_of(content()), 2);
}

TEST_F(LogFile, ReopensAfterAnOutsideRotation) {
  auto sink = open(options());
  Logger log(sink, "app");
  log.warn("before");
  log.info("waits in the buffer");
  fs::rename(folder_ / "corral.log", folder_ / "moved.log");
  ASSERT_TRUE(sink->reopen());
  log.warn("after");
  EXPECT_EQ(lines_of(content("moved.log")), 2);
  EXPECT_EQ(lines_of(content()), 1);
}

TEST_F(LogFile, AReopenThatFailsKeepsTheOldFile) {
  auto sink = open(options());
  Logger log(sink, "app");
  fs::path elsewhere = folder_;
  elsewhere += "_moved";
  fs::remove_all(elsewhere);
  fs::rename(folder_, elsewhere);
  auto reopened = sink->reopen();
  ASSERT_FALSE(reopened);
  EXPECT_EQ(reopened.error().code, ErrorCode::io);
  log.warn("still written");
  fs::rename(elsewhere, folder_);
  EXPECT_EQ(lines_of(content()), 1);
}

TEST_F(LogFile, AnUnwritableFileIsAnErrorWithAHint) {
  auto wrong = options();
  wrong.file = (folder_ / "no" / "such" / "folder.log").string();
  auto sink = SpdlogSink::open(wrong);
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().code, ErrorCode::io);
  EXPECT_NE(sink.error().message.find("cannot open the log file"), std::string::npos);
  EXPECT_FALSE(sink.error().hint_text.empty());
  wrong.file = folder_.string();  // a folder
  EXPECT_FALSE(SpdlogSink::open(wrong));
}

// No file of this process can grow beyond `bytes`, as on a full disk.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);  // the error of the write is enough
  }
  ~SizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    (void)std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(LogFile, AFullDiskLosesCountedRecordsAndIsReportedOnce) {
  constexpr std::uintmax_t kFull = 64 << 20;  // far above all else that is written meanwhile
  auto full = options();
  full.rotate_bytes = 2 * kFull;
  std::ofstream(full.file).close();
  fs::resize_file(full.file, kFull);  // takes no room
  testing::internal::CaptureStderr();
  auto sink = open(full);
  {
    SizeLimit limit(kFull);
    Logger log(sink, "app");
    log.warn("lost one");
    log.info("lost two");
    log.info("lost three");
    sink->flush();
    EXPECT_EQ(sink->lost(), 3u);
    log.error("lost four");
    EXPECT_EQ(sink->lost(), 4u);
  }
  std::string report = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_of(report), 1) << report;
  EXPECT_NE(report.find(full.file + ": File too large"), std::string::npos) << report;
  EXPECT_EQ(fs::file_size(full.file), kFull);
}

// What is no file is not rotated either.
TEST_F(LogFile, WritesToADevice) {
  auto nowhere = options();
  nowhere.file = "/dev/null";
  nowhere.rotate_bytes = 10;
  auto sink = open(nowhere);
  Logger log(sink, "app");
  for (int i = 0; i < 3; ++i) log.warn("gone");
  sink->flush();
  EXPECT_EQ(sink->lost(), 0u);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(LogFile, WritesToStandardErrorWithoutAFile) {
  testing::internal::CaptureStderr();
  {
    auto sink = open({});
    Logger log(sink, "app");
    log.info("one");
    log.info("two");
    EXPECT_TRUE(sink->reopen());
    log.warn("three");
  }
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_of(text), 3) << text;
  EXPECT_NE(text.find("INFO  app two\n"), std::string::npos);
}

TEST_F(LogFile, LinesOfManyThreadsStayWhole) {
  constexpr int kThreads = 4, kLines = 2000;
  auto sink = open(options());
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&sink, t] {
        Logger log(sink, "thread");
        for (int i = 0; i < kLines; ++i) log.info("line", {{"thread", t}, {"i", i}});
      });
    }
  }
  sink->flush();
  std::istringstream text(content());
  std::vector<int> next(kThreads, 0);
  int count = 0;
  for (std::string line; std::getline(text, line); ++count) {
    int thread = -1, i = -1;
    auto at = line.find("INFO  thread line thread=");
    ASSERT_NE(at, std::string::npos) << line;
    ASSERT_EQ(std::sscanf(line.c_str() + at, "INFO  thread line thread=%d i=%d", &thread, &i), 2);
    ASSERT_TRUE(thread >= 0 && thread < kThreads);
    EXPECT_EQ(i, next[static_cast<std::size_t>(thread)]++);  // in order within a thread
  }
  EXPECT_EQ(count, kThreads * kLines);
}

TEST(LogLevels, RoundTripByName) {
  for (auto level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warn,
                     LogLevel::error, LogLevel::off}) {
    EXPECT_EQ(parse_log_level(to_string(level)), level);
  }
  EXPECT_EQ(parse_log_level("WARN"), LogLevel::warn);
  auto wrong = parse_log_level("loud");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().describe(),
            "'loud' is not a log level (use trace, debug, info, warn, error or off)");
  EXPECT_EQ(to_string(static_cast<LogLevel>(99)), "unknown");
}

TEST(NullLog, DropsEverything) {
  Logger log(null_sink(), "app");
  EXPECT_FALSE(log.enabled(LogLevel::error));
  log.error("nothing happens");
  log.sink()->write({LogLevel::error, "app", "nothing", {}});
  log.sink()->flush();
}

}  // namespace
}  // namespace corral::telemetry::log_test

#include "telemetry/log.hpp"

#include <fmt/format.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/base_sink.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/text.hpp"
#include "telemetry/log_format.hpp"

namespace corral::telemetry {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Lines wait here for company, so that a busy access log costs one system call per many lines.
constexpr std::size_t kBufferBytes = 64 * 1024;
constexpr std::chrono::milliseconds kMostDelay{200};

// One log file or standard error behind a buffer. spdlog's base class brings the lock; the file is
// written without stdio's buffer, so that it is known which lines reached it.
class BufferedOutput final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit BufferedOutput(const LogOptions& options)
      : path_(options.file),
        rotate_bytes_(options.rotate_bytes),
        rotate_files_(options.rotate_files) {}

  ~BufferedOutput() override {
    drain();
    close_file();
  }

  Result<void> open() {
    std::lock_guard lock(mutex_);
    return open_file();
  }

  Result<void> reopen() {
    std::lock_guard lock(mutex_);
    drain();
    return open_file();
  }

  bool is_terminal() const { return file_ != nullptr && spdlog::details::os::in_terminal(file_); }
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  // spdlog calls both with the lock held.
  void sink_it_(const spdlog::details::log_msg& line) override {
    buffer_.append(line.payload.data(), line.payload.size());
    auto now = SteadyClock::now();
    if (line.level >= spdlog::level::warn || direct_ || buffer_.size() >= kBufferBytes ||
        now - drained_ >= kMostDelay) {
      drained_ = now;
      drain();
    }
  }

  void flush_() override { drain(); }

  Result<void> open_file() {
    std::FILE* file = stderr;
    std::error_code ignored;
    if (!path_.empty()) {
      bool fresh = !std::filesystem::exists(path_, ignored);
      file = std::fopen(path_.c_str(), "abe");
      if (file == nullptr) {
        return fail_os(fmt::format("cannot open the log file {}", path_), errno)
            .hint("name a file in a folder that exists and that Corral may write to (log.file)");
      }
      std::setvbuf(file, nullptr, _IONBF, 0);
      using std::filesystem::perms;
      if (fresh) {  // addresses of clients are nobody else's business
        std::filesystem::permissions(
            path_, perms::owner_read | perms::owner_write | perms::group_read, ignored);
      }
    }
    close_file();
    file_ = file;
    direct_ = spdlog::details::os::in_terminal(file_);
    regular_ = !path_.empty() && std::filesystem::is_regular_file(path_, ignored);
    size_ = regular_ ? static_cast<std::uint64_t>(std::filesystem::file_size(path_, ignored)) : 0;
    if (ignored) size_ = 0;
    return {};
  }

  void close_file() {
    if (file_ != nullptr && file_ != stderr) std::fclose(file_);
    file_ = nullptr;
  }

  // Writes what waits. What cannot be written is counted and dropped: the log never holds the
  // program up, and never grows in memory.
  void drain() {
    if (buffer_.empty() || file_ == nullptr) return;
    if (regular_ && size_ > 0 && size_ + buffer_.size() > rotate_bytes_) rotate();
    if (torn_line_) {
      buffer_.insert(buffer_.begin(), '\n');
      torn_line_ = false;
    }
    std::size_t written = write_all(buffer_);
    size_ += written;
    if (written < buffer_.size()) give_up(std::string_view(buffer_).substr(written), written > 0);
    buffer_.clear();
  }

  std::size_t write_all(std::string_view bytes) {
    std::size_t written = 0;
    while (written < bytes.size()) {
      errno = 0;
      std::size_t step = std::fwrite(bytes.data() + written, 1, bytes.size() - written, file_);
      written += step;
      if (written == bytes.size()) break;
      bool interrupted = errno == EINTR;
      error_ = errno;
      std::clearerr(file_);
      if (!interrupted) break;
    }
    return written;
  }

  void give_up(std::string_view rest, bool began) {
    auto lines = static_cast<std::uint64_t>(std::ranges::count(rest, '\n'));
    torn_line_ = began && buffer_[buffer_.size() - rest.size() - 1] != '\n';
    lost_.fetch_add(lines, std::memory_order_relaxed);
    if (std::exchange(reported_, true) || file_ == stderr) return;
    std::fputs(fmt::format("corral: cannot write the log file {}: {}; log records are being lost\n",
                           path_, std::generic_category().message(error_))
                   .c_str(),
               stderr);
  }

  // log -> log.1 -> log.2 ...; if that fails, writing goes on in the old file.
  void rotate() {
    std::error_code error;
    auto numbered = [this](unsigned number) { return fmt::format("{}.{}", path_, number); };
    if (rotate_files_ == 0) {
      std::filesystem::remove(path_, error);
    } else {
      for (unsigned number = rotate_files_; number > 1; --number) {
        std::filesystem::rename(numbered(number - 1), numbered(number), error);  // may be missing
      }
      error.clear();
      std::filesystem::rename(path_, numbered(1), error);
    }
    if (error || !open_file()) size_ = 0;  // not tried again before as many bytes have passed
  }

  const std::string path_;
  const std::uint64_t rotate_bytes_;
  const unsigned rotate_files_;
  std::FILE* file_ = nullptr;
  bool direct_ = false;   // a terminal: a person watches, each line goes out at once
  bool regular_ = false;  // only such a file is rotated
  std::uint64_t size_ = 0;
  std::string buffer_;
  SteadyClock::time_point drained_;
  bool torn_line_ = false;  // the last line in the file is cut short
  bool reported_ = false;
  int error_ = 0;
  std::atomic<std::uint64_t> lost_{0};
};

class SpdlogSinkImpl final : public SpdlogSink {
 public:
  SpdlogSinkImpl(const LogOptions& options, std::unique_ptr<BufferedOutput> output)
      : level_(options.level),
        format_(options.format),
        colour_(options.colour && output->is_terminal() ? Colour::on : Colour::off),
        output_(std::move(output)) {}

  bool enabled(LogLevel level) const override {
    return level >= level_.load(std::memory_order_relaxed) && level != LogLevel::off;
  }

  void write(const LogRecord& record) override {
    if (!enabled(record.level)) return;
    thread_local std::string line;  // keeps its memory from record to record
    line.clear();
    auto now = std::chrono::system_clock::now();
    if (format_ == LogFormat::json) {
      append_json_line(line, now, record);
    } else {
      append_text_line(line, now, record, colour_);
    }
    auto level =
        record.level >= LogLevel::warn ? spdlog::level::level_enum::warn : spdlog::level::info;
    output_->log({spdlog::string_view_t{}, level, spdlog::string_view_t(line.data(), line.size())});
  }

  void flush() override { output_->flush(); }
  void set_level(LogLevel level) override { level_.store(level, std::memory_order_relaxed); }
  Result<void> reopen() override { return output_->reopen(); }
  std::uint64_t lost() const override { return output_->lost(); }

 private:
  std::atomic<LogLevel> level_;
  const LogFormat format_;
  const Colour colour_;
  std::unique_ptr<BufferedOutput> output_;
};

class NullSink final : public LogSink {
 public:
  bool enabled(LogLevel) const override { return false; }
  void write(const LogRecord&) override {}
  void flush() override {}
};

struct LevelName {
  LogLevel level;
  std::string_view name;
};
constexpr LevelName kLevels[] = {{LogLevel::trace, "trace"}, {LogLevel::debug, "debug"},
                                 {LogLevel::info, "info"},   {LogLevel::warn, "warn"},
                                 {LogLevel::error, "error"}, {LogLevel::off, "off"}};

}  // namespace

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const auto& [level, name] : kLevels) {
    if (iequals(name, text)) return level;
  }
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a log level", text))
      .hint("use trace, debug, info, warn, error or off");
}

std::string_view to_string(LogLevel level) {
  for (const auto& entry : kLevels) {
    if (entry.level == level) return entry.name;
  }
  return "unknown";
}

Result<std::shared_ptr<SpdlogSink>> SpdlogSink::open(const LogOptions& options) {
  auto output = std::make_unique<BufferedOutput>(options);
  CORRAL_CHECK(output->open());
  return std::make_shared<SpdlogSinkImpl>(options, std::move(output));
}

std::shared_ptr<LogSink> null_sink() { return std::make_shared<NullSink>(); }

}  // namespace corral::telemetry

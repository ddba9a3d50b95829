// Logs: a cheap front (this header) and spdlog behind it (log.cpp).
//
// A `Logger` carries the name of its component and hands records to a `LogSink`. Formatting happens
// only when the level is on. Secrets and prompts are never logged. Control characters in messages
// and fields are escaped by the sinks, so that a peer cannot forge a line.
// Thread rule: Logger is a cheap copyable value; sinks are thread-safe.
// Example: log.info("engine ready", {{"model", name}, {"port", port}});
#pragma once

#include <fmt/core.h>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.hpp"

namespace corral::telemetry {

enum class LogLevel { trace, debug, info, warn, error, off };
Result<LogLevel> parse_log_level(std::string_view text);
std::string_view to_string(LogLevel level);

struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, double, bool> value;

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, std::integral auto v)
      : key(k), value(static_cast<std::int64_t>(v)) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
};

struct LogRecord {
  LogLevel level;
  std::string_view component;
  std::string_view message;
  std::span<const LogField> fields;
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual bool enabled(LogLevel level) const = 0;
  virtual void write(const LogRecord& record) = 0;
  virtual void flush() = 0;
};

class Logger {
 public:
  Logger(std::shared_ptr<LogSink> sink, std::string component)
      : sink_(std::move(sink)), component_(std::move(component)) {}

  Logger named(std::string component) const { return {sink_, std::move(component)}; }
  bool enabled(LogLevel level) const { return sink_->enabled(level); }
  const std::shared_ptr<LogSink>& sink() const { return sink_; }

  using Fields = std::initializer_list<LogField>;
  void write(LogLevel level, std::string_view message, Fields fields = {}) const {
    if (!enabled(level)) return;
    sink_->write({level, component_, message, std::span(fields.begin(), fields.size())});
  }
  void debug(std::string_view message, Fields fields = {}) const {
    write(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) const {
    write(LogLevel::info, message, fields);
  }
  void warn(std::string_view message, Fields fields = {}) const {
    write(LogLevel::warn, message, fields);
  }
  void error(std::string_view message, Fields fields = {}) const {
    write(LogLevel::error, message, fields);
  }

 private:
  std::shared_ptr<LogSink> sink_;
  std::string component_;
};

enum class LogFormat { text, json };

struct LogOptions {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  std::string file;                        // empty: standard error
  std::uint64_t rotate_bytes = 50u << 20;  // a log file is rotated past this size
  unsigned rotate_files = 5;               // old files kept
  bool colour = false;                     // text on a terminal only
};

// Writes text ("2026-11-21T01:02:03.456Z INFO engines engine ready model=tiny port=4711") or one
// JSON object a line ({"time","level","component","message",...fields}). A write that fails (full
// disk) is counted in `lost()`, reported once on standard error, and tried again with the next
// record; it never throws and never blocks the caller beyond the write itself.
class SpdlogSink : public LogSink {
 public:
  static Result<std::shared_ptr<SpdlogSink>> open(const LogOptions& options);
  virtual void set_level(LogLevel level) = 0;
  virtual Result<void> reopen() = 0;  // after an outside rotation (SIGHUP)
  virtual std::uint64_t lost() const = 0;
};

// A sink that drops everything (tests).
std::shared_ptr<LogSink> null_sink();

}  // namespace corral::telemetry

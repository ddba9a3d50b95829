// What an engine says on standard error: cut into lines of bounded length, read for their level,
// the last ones kept for a crash report, and a crash explained by them. No I/O.
//
// Format of llama-server: "M.SS.mmm.uuu L tag func: message", where L is one of D I W E
// (T: trace); some lines are bare.
// Thread rule: one owner.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "engines/core/instance_machine.hpp"

namespace corral::engines {

// Bytes in, whole lines out. A longer line than `kMaxLine` is cut there and the rest dropped.
class LineSplitter {
 public:
  static constexpr std::size_t kMaxLine = 2048;
  using Sink = std::function<void(std::string_view line)>;

  void feed(std::string_view bytes, const Sink& sink);
  void finish(const Sink& sink);  // the last line may lack its end

 private:
  void emit(const Sink& sink);
  std::string line_;
  bool cut_ = false;
};

enum class EngineLevel { debug, info, warning, error };
struct EngineLine {
  EngineLevel level = EngineLevel::warning;  // bare lines are complaints about arguments
  std::string_view text;                     // without time and level
};
EngineLine parse_engine_line(std::string_view line);

// The last lines, in order.
class LogTail {
 public:
  static constexpr std::size_t kLines = 20;
  void add(std::string_view line);
  void clear() { lines_.clear(); }
  std::string text() const;  // joined by end of line
  const std::deque<std::string>& lines() const { return lines_; }

 private:
  std::deque<std::string> lines_;
};

// At most so many lines a second go to our log; an engine gone wild must not fill the disk.
class LineBudget {
 public:
  explicit LineBudget(unsigned per_second) : per_second_(per_second) {}
  // May this line pass? `dropped` tells how many did not in the second that just ended, once.
  bool take(sys::Steady now, unsigned& dropped);

 private:
  unsigned per_second_;
  unsigned used_ = 0;
  unsigned dropped_ = 0;
  sys::Steady window_{};
};

// Why an engine ended: what to tell a person, and whether another try makes sense. `ending` is
// ExitStatus::describe(); the tail goes into Error::cause, never into the message.
struct Diagnosis {
  Error reason;
  Fault fault = Fault::crash;
};
struct Ending {
  bool by_signal = false;
  int code = 0;
  std::string text;
};
Diagnosis diagnose(const Ending& ending, const LogTail& tail);

}  // namespace corral::engines

// Which models to load before anybody asks: those used most, best first, as long as they fit beside
// each other and beside what is loaded. Only while nothing else is to be done; never one that was
// unloaded by hand and not asked for since.
//
// Thread rule: none of its own; the time comes in. Example:
//   while (auto name = warmup.next(view, now)) warmup.answered(*name, co_await load(*name), now);
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sys/clock.hpp"

namespace corral::scheduler {

struct WarmupModel {
  std::string name;
  bool loaded = false;    // or about to be
  bool put_away = false;  // by hand
};

struct WarmupView {
  bool busy = false;                // a request runs or waits, an engine starts or ends
  std::vector<WarmupModel> ranked;  // most used first
};

enum class WarmupAnswer { begun, loaded, no_room, failed };

class Warmup {
 public:
  static constexpr std::size_t kMost = 8;            // models kept warm
  static constexpr std::chrono::seconds kQuiet{5};   // without work, before anything is loaded
  static constexpr std::chrono::seconds kAgain{60};  // between two tries of a model

  // The model to load now, if any. The first look of a run needs no quiet time before it.
  std::optional<std::string> next(const WarmupView& view, sys::Steady now);
  void answered(const std::string& name, WarmupAnswer answer, sys::Steady now);

  // Those that should stay in memory while nothing needs their room.
  std::set<std::string> kept(const WarmupView& view) const;
  // Forgets all: it was turned off.
  void reset() { *this = Warmup(); }

 private:
  std::optional<sys::Steady> quiet_since_;
  bool started_ = false;
  std::map<std::string, sys::Steady> tried_;
};

}  // namespace corral::scheduler

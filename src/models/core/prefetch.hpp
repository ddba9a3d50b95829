// Which models of the catalog are worth asking their source for a newer version, ahead of anybody:
// those that were used most in the last two weeks and on several days, at most a few, each at most
// once a day, only while nothing else is to be done. And whether what the source has is to be
// fetched: other bytes, for which there is room to spare. What it began gives way: it is paused
// when requests or somebody's pull come, and goes on when nothing was done for a while again.
//
// Thread rule: none of its own; the time comes in. Example:
//   auto turn = prefetch.turn(view, now);
//   ... pause turn.pause, resume turn.resume ...
//   if (!turn.ask) return;
//   for (const auto& due : prefetch.due(used, now)) {
//     auto verdict = judge_newer(co_await resolve(due.origin), due.model, free);
//     if (verdict.fetch) pull(due.origin, due.model.name);
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/core/sync_plan.hpp"
#include "sys/clock.hpp"

namespace corral::models {

struct PrefetchModel {
  HereModel model;
  std::uint64_t requests = 0;  // in the last two weeks
  unsigned days = 0;           // of them, with a request
};

// A pull that was begun ahead, and is not at its end.
struct PrefetchPull {
  std::string id;
  bool going = false;  // otherwise it is paused
};

struct PrefetchView {
  bool busy = false;     // requests run, models load
  bool pulling = false;  // somebody's pull is under way
  std::vector<PrefetchPull> own;
  std::chrono::milliseconds quiet = std::chrono::minutes(1);  // without work before
};

// What is to be done now.
struct PrefetchTurn {
  std::vector<std::string> pause;     // these pulls
  std::optional<std::string> resume;  // this one
  bool ask = false;                   // sources may be asked
};

struct PrefetchDue {
  HereModel model;
  std::string why;
};

class Prefetch {
 public:
  static constexpr std::size_t kMost = 3;          // models
  static constexpr unsigned kLeastDays = 2;        // of use
  static constexpr std::chrono::hours kEvery{24};  // for each model

  // Of an earlier run: when each model was asked for last, by name; and the pulls that gave way.
  explicit Prefetch(std::map<std::string, sys::Wall> asked = {},
                    std::set<std::string> gave_way = {})
      : asked_(std::move(asked)), gave_way_(std::move(gave_way)) {}

  // To be asked every second or so.
  PrefetchTurn turn(const PrefetchView& view, sys::Wall now);
  // `used` in any order. Models whose origin cannot change (a checksum, a commit) are left out.
  std::vector<PrefetchDue> due(std::vector<PrefetchModel> used, sys::Wall now) const;
  void asked(const std::string& name, sys::Wall now) { asked_[name] = now; }
  const std::map<std::string, sys::Wall>& asked() const { return asked_; }
  const std::set<std::string>& gave_way() const { return gave_way_; }

 private:
  void look_at(const std::vector<PrefetchPull>& own);

  std::map<std::string, sys::Wall> asked_;
  std::set<std::string> gave_way_;    // pulls that were paused here, and by nobody else
  std::set<std::string> taken_over_;  // pulls that somebody resumed: they give way no more
  std::optional<sys::Wall> quiet_since_;
};

struct NewerVerdict {
  bool fetch = false;
  std::string why;  // or why not
};

// `free`: bytes of the disk that downloads may still take.
NewerVerdict judge_newer(const RemoteModel& there, const HereModel& here, std::uint64_t free);

// Does that reference mean the same bytes for ever?
bool is_fixed_origin(std::string_view origin);

}  // namespace corral::models

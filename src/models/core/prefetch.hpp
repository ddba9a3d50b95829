// Which models of the catalog are worth asking their source for a newer version, ahead of anybody:
// those that were used most in the last two weeks and on several days, at most a few, each at most
// once a day, only while nothing else is to be done. And whether what the source has is to be
// fetched: other bytes, for which there is room to spare.
//
// Thread rule: none of its own; the time comes in. Example:
//   if (!prefetch.quiet(view, now)) return;
//   for (const auto& due : prefetch.due(used, now)) {
//     auto verdict = judge_newer(co_await resolve(due.origin), due.model, free);
//     if (verdict.fetch) pull(due.origin, due.model.name);
//   }
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
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

struct PrefetchView {
  bool busy = false;     // requests run, models load
  bool pulling = false;  // somebody's pull is under way
};

struct PrefetchDue {
  HereModel model;
  std::string why;
};

class Prefetch {
 public:
  static constexpr std::size_t kMost = 3;           // models
  static constexpr unsigned kLeastDays = 2;         // of use
  static constexpr std::chrono::hours kEvery{24};   // for each model
  static constexpr std::chrono::minutes kQuiet{1};  // without work before

  // When each model was asked for last, by name: of an earlier run.
  explicit Prefetch(std::map<std::string, sys::Wall> asked = {}) : asked_(std::move(asked)) {}

  // Has nothing been done for long enough? To be asked every few seconds.
  bool quiet(const PrefetchView& view, sys::Wall now);
  // `used` in any order. Models whose origin cannot change (a checksum, a commit) are left out.
  std::vector<PrefetchDue> due(std::vector<PrefetchModel> used, sys::Wall now) const;
  void asked(const std::string& name, sys::Wall now) { asked_[name] = now; }
  const std::map<std::string, sys::Wall>& asked() const { return asked_; }

 private:
  std::map<std::string, sys::Wall> asked_;
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

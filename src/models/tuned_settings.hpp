// Settings that a search found to be better than the default, kept for each model and host.
//
// They hold for the very files and the very machine that they were measured with; whoever uses them
// compares (see `file_mark` and BenchMachine::mark). A search for others takes their place.
//
// Thread rule: thread-safe; calls block. Lifecycle: the database and the clock outlive it.
// Example:
//   TunedStore store(*database, clock);
//   CORRAL_CHECK(store.put({.model = "qwen", .host = "here", .machine = facts, .file = identity,
//                           .choice = {.batch = 512}, .note = "batch 512: 12 % faster"}));
//   CORRAL_TRY(auto all, store.of_host("here"));
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/core/engine_choice.hpp"
#include "models/model_list.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::models {

struct TunedSettings {
  std::string model;
  std::string host;     // the machine's name
  std::string machine;  // what it is made of; others make the settings void
  std::string file;     // see `file_mark`
  EngineChoice choice;
  std::string note;  // what was measured, for people
  sys::Wall tuned{};

  bool operator==(const TunedSettings&) const = default;
};

// Tells the files of a model from others: names, sizes and times of change.
std::string file_mark(const ModelEntry& entry);

boost::json::object to_json(const EngineChoice& choice);
// invalid_argument: not what `to_json` makes.
Result<EngineChoice> engine_choice_of(const boost::json::value& value);

class TunedStore {
 public:
  static constexpr int kMost = 10'000;  // models of a host that are read

  TunedStore(store::Database& database, const sys::Clock& clock)
      : database_(database), clock_(clock) {}

  // Takes the place of what was there for the model on this host; `tuned` is now.
  Result<TunedSettings> put(TunedSettings settings);
  Result<std::vector<TunedSettings>> of_host(const std::string& host);  // by model
  // Was there any?
  Result<bool> forget(const std::string& model, const std::string& host);

 private:
  store::Database& database_;
  const sys::Clock& clock_;
};

// The statement that reads many rows, so that tests can look at the plan of this very text.
inline constexpr std::string_view kListTuned =
    "select model, machine, file, settings, note, tuned_ms from tuned_settings where host = $1 "
    "order by model limit $2";

}  // namespace corral::models

// What is kept of an unfinished pull, so that it survives a crash: a small JSON document.
// Thread rule: plain values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/sources/source.hpp"
#include "sys/clock.hpp"

namespace corral::models {

enum class PullState { queued, running, paused, succeeded, failed, cancelled };
std::string_view to_string(PullState state);
// The author of a pull that was begun ahead, and nobody waits for.
inline constexpr std::string_view kPrefetchAuthor = "prefetch";
bool is_finished(PullState state);  // it will not go on by itself or by `resume`

struct PullRecord {
  std::string id;         // "pull-1f2e3d4c"
  std::string reference;  // as it was asked for
  std::string name;       // wanted in the catalog; empty: as the source calls it
  std::string author;
  PullState state = PullState::queued;  // queued, paused or failed in a record
  std::string error;                    // of a failed one
  std::string hint;
  sys::Wall started;
  std::optional<RemoteModel> model;  // once it is resolved
};

std::string to_text(const PullRecord& record);
// invalid_argument for anything that `to_text` does not write.
Result<PullRecord> parse_pull_record(std::string_view text);

bool is_pull_id(std::string_view text);

}  // namespace corral::models

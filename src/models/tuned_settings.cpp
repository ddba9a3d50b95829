#include "models/tuned_settings.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>
#include <limits>

#include "base/json.hpp"
#include "store/rows.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::RowReader;
using store::Rows;

namespace {

namespace bj = boost::json;

constexpr std::uint64_t kMostNumber = std::numeric_limits<unsigned>::max();

Error not_settings(std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not what a search keeps", what))
      .field(std::string(what));
}

template <class T>
Result<void> take_number(const bj::object& from, const char* name, std::optional<T>& into) {
  const bj::value* found = from.if_contains(name);
  if (found == nullptr) return {};
  std::uint64_t number = kMostNumber + 1;
  if (found->is_uint64()) number = found->get_uint64();
  if (found->is_int64() && found->get_int64() >= 0) {
    number = static_cast<std::uint64_t>(found->get_int64());
  }
  if (number > kMostNumber) return not_settings(name);
  into = static_cast<T>(number);
  return {};
}

}  // namespace

std::string file_mark(const ModelEntry& entry) {
  std::string out;
  for (const FileIdentity& file : entry.files) {
    const auto changed =
        std::chrono::duration_cast<std::chrono::nanoseconds>(file.modified.time_since_epoch());
    out += fmt::format("{}{} {} {}", out.empty() ? "" : "; ", file.path.filename().string(),
                       file.size, changed.count());
  }
  return out;
}

bj::object to_json(const EngineChoice& choice) {
  bj::object out;
  if (choice.threads) out["threads"] = *choice.threads;
  if (choice.batch) out["batch"] = *choice.batch;
  if (choice.slots) out["slots"] = *choice.slots;
  if (choice.cache) out["cache_type"] = std::string(to_string(*choice.cache));
  if (choice.repack) out["repack"] = *choice.repack;
  if (choice.gpu_layers) out["gpu_layers"] = *choice.gpu_layers;
  return out;
}

Result<EngineChoice> engine_choice_of(const bj::value& value) {
  const bj::object* object = value.if_object();
  if (object == nullptr) return not_settings("settings");
  EngineChoice out;
  CORRAL_CHECK(take_number(*object, "threads", out.threads));
  CORRAL_CHECK(take_number(*object, "batch", out.batch));
  CORRAL_CHECK(take_number(*object, "slots", out.slots));
  CORRAL_CHECK(take_number(*object, "gpu_layers", out.gpu_layers));
  if (const bj::value* cache = object->if_contains("cache_type")) {
    if (!cache->is_string()) return not_settings("cache_type");
    out.cache = parse_cache_type(std::string_view(cache->get_string()));
    if (!out.cache) return not_settings("cache_type");
  }
  if (const bj::value* repack = object->if_contains("repack")) {
    if (!repack->is_bool()) return not_settings("repack");
    out.repack = repack->get_bool();
  }
  return out;
}

Result<TunedSettings> TunedStore::put(TunedSettings settings) {
  settings.tuned = std::chrono::floor<std::chrono::milliseconds>(clock_.wall());
  CORRAL_CHECK(database_.run(
      "insert into tuned_settings (host, model, machine, file, settings, note, tuned_ms) "
      "values ($1, $2, $3, $4, $5, $6, $7) on conflict (host, model) do update set "
      "machine = excluded.machine, file = excluded.file, settings = excluded.settings, "
      "note = excluded.note, tuned_ms = excluded.tuned_ms",
      {settings.host, settings.model, settings.machine, settings.file,
       json::serialize(to_json(settings.choice)), settings.note,
       store::to_milliseconds(settings.tuned)}));
  return settings;
}

Result<std::vector<TunedSettings>> TunedStore::of_host(const std::string& host) {
  CORRAL_TRY(Rows rows, database_.run(kListTuned, {host, kMost}));
  std::vector<TunedSettings> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    TunedSettings one;
    one.host = host;
    one.model = read.text();
    one.machine = read.text();
    one.file = read.text();
    const std::string text = read.text();
    one.note = read.text();
    one.tuned = read.time();
    CORRAL_CHECK(read.done());
    auto parsed = json::parse(text);
    auto choice = parsed ? engine_choice_of(*parsed) : std::unexpected(parsed.error());
    // What another program version kept is as good as nothing: the model starts by default.
    if (!choice) continue;
    one.choice = *choice;
    found.push_back(std::move(one));
  }
  return found;
}

Result<bool> TunedStore::forget(const std::string& model, const std::string& host) {
  CORRAL_TRY(Rows rows, database_.run("delete from tuned_settings where host = $1 and model = $2 "
                                      "returning model",
                                      {host, model}));
  return rows.size() > 0;
}

}  // namespace corral::models

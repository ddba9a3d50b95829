#include "models/pull_record.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/json.hpp"
#include "models/blob_files.hpp"
#include "models/sources/json_fields.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMostFiles = 1'000;

Error damaged(const char* what) {
  return fail(ErrorCode::invalid_argument,
              std::string("the record of the pull is damaged: ") + what);
}

bj::object describe(const RemoteFile& file) {
  bj::object result{{"role", std::string(to_string(file.role))},
                    {"name", file.name},
                    {"url", file.url},
                    {"digest", file.digest}};
  if (file.bytes) result["bytes"] = *file.bytes;
  return result;
}

Result<RemoteFile> read_file(const bj::value& from) {
  RemoteFile file;
  auto role = parse_file_role(text_field(from, "role"));
  if (!role) return damaged("a file has no role");
  file.role = *role;
  file.name = text_field(from, "name");
  if (!check_file_name(file.name)) return damaged("a file has no proper name");
  file.url = text_field(from, "url");
  file.bytes = count_field(from, "bytes");
  file.digest = text_field(from, "digest");
  if (!file.digest.empty() && !is_digest(file.digest)) return damaged("a checksum is none");
  return file;
}

Result<RemoteModel> read_model(const bj::value& from) {
  RemoteModel model;
  model.name = text_field(from, "name");
  model.origin = text_field(from, "origin");
  model.revision = text_field(from, "revision");
  model.license = text_field(from, "license");
  const auto& files = list_field(from, "files");
  if (model.name.empty() || files.empty() || files.size() > kMostFiles) {
    return damaged("it names no files");
  }
  model.files.reserve(files.size());
  for (const auto& each : files) {
    CORRAL_TRY(auto file, read_file(each));
    model.files.push_back(std::move(file));
  }
  return model;
}

std::optional<PullState> kept_state(std::string_view text) {
  for (auto state : {PullState::queued, PullState::paused, PullState::failed}) {
    if (to_string(state) == text) return state;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(PullState state) {
  switch (state) {
    case PullState::queued: return "queued";
    case PullState::running: return "running";
    case PullState::paused: return "paused";
    case PullState::succeeded: return "succeeded";
    case PullState::failed: return "failed";
    case PullState::cancelled: return "cancelled";
  }
  return "unknown";
}

bool is_finished(PullState state) {
  return state == PullState::succeeded || state == PullState::cancelled;
}

bool is_pull_id(std::string_view text) {
  return text.size() == 13 && text.starts_with("pull-") &&
         std::ranges::all_of(text.substr(5), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string to_text(const PullRecord& record) {
  auto state = record.state == PullState::running ? PullState::queued : record.state;
  auto started =
      std::chrono::duration_cast<std::chrono::milliseconds>(record.started.time_since_epoch());
  bj::object document{
      {"corral_pull", 1},      {"id", record.id},         {"reference", record.reference},
      {"name", record.name},   {"author", record.author}, {"state", std::string(to_string(state))},
      {"error", record.error}, {"hint", record.hint},     {"started_ms", started.count()}};
  if (record.model) {
    bj::array files;
    for (const auto& file : record.model->files) files.push_back(describe(file));
    document["model"] = bj::object{{"name", record.model->name},
                                   {"origin", record.model->origin},
                                   {"revision", record.model->revision},
                                   {"license", record.model->license},
                                   {"files", std::move(files)}};
  }
  return json::pretty(document) + "\n";
}

Result<PullRecord> parse_pull_record(std::string_view text) {
  CORRAL_TRY(auto document, json::parse(text));
  if (count_field(document, "corral_pull") != 1u) return damaged("it is of another version");
  PullRecord record;
  record.id = text_field(document, "id");
  record.reference = text_field(document, "reference");
  record.name = text_field(document, "name");
  record.author = text_field(document, "author");
  record.error = text_field(document, "error");
  record.hint = text_field(document, "hint");
  if (!is_pull_id(record.id) || record.reference.empty()) return damaged("it names no pull");
  auto state = kept_state(text_field(document, "state"));
  auto started = count_field(document, "started_ms");
  if (!state || !started) return damaged("it has no state");
  record.state = *state;
  record.started = sys::Wall(std::chrono::milliseconds(static_cast<std::int64_t>(*started)));
  if (const auto* model = field(document, "model")) {
    CORRAL_TRY(record.model, read_model(*model));
  }
  return record;
}

}  // namespace corral::models

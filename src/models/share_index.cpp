#include "models/share_index.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "base/time_text.hpp"
#include "models/sources/source.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

std::string count_text(std::uint64_t parameters) {
  const auto count = static_cast<double>(parameters);
  if (parameters >= 1'000'000'000) return fmt::format("{:.1f}B", count / 1e9);
  if (parameters >= 1'000'000) return fmt::format("{:.1f}M", count / 1e6);
  return fmt::format("{:.0f}K", count / 1e3);
}

bj::object describe(const SharedModel& model) {
  bj::object out{{"name", model.name}, {"updated", format_time(model.updated)}};
  if (!model.revision.empty()) out["revision"] = model.revision;
  if (!model.license.empty()) out["license"] = model.license;
  if (model.metadata) {
    const auto& known = *model.metadata;
    if (!known.architecture.empty()) out["architecture"] = known.architecture;
    if (!known.quantization.empty()) out["quantization"] = known.quantization;
    if (known.parameters > 0) out["parameters"] = count_text(known.parameters);
    if (known.context_length > 0) out["context_length"] = known.context_length;
  }
  bj::array files;
  for (const auto& file : model.files) {
    files.push_back(bj::object{{"path", share_path(file)},
                               {"role", std::string(to_string(file.role))},
                               {"size", file.bytes},
                               {"sha256", file.digest.substr(7)}});
  }
  out["files"] = std::move(files);
  return out;
}

}  // namespace

std::optional<SharedModel> shared_model(const CatalogModel& model) {
  SharedModel shared{model.name, model.revision, model.license, model.added, model.metadata, {}};
  shared.files.reserve(model.files.size());
  for (const auto& stored : model.files) {
    if (!stored.problem.empty() || !check_file_name(stored.file.name)) return std::nullopt;
    shared.files.push_back(
        {stored.file.role, stored.file.name, stored.file.digest, stored.file.bytes});
  }
  return shared;
}

std::optional<SharedModel> shared_model(const ModelEntry& entry,
                                        const std::map<std::string, std::string>& digests) {
  if (!entry.usable()) return std::nullopt;
  SharedModel shared{entry.name, {}, {}, entry.modified, entry.metadata, {}};
  auto add = [&](const FileIdentity& file, FileRole role) {
    auto known = digests.find(file.path.string());
    auto name = file.path.filename().string();
    if (known == digests.end() || !check_file_name(name)) return false;
    shared.files.push_back({role, std::move(name), known->second, file.size});
    return true;
  };
  for (const auto& file : entry.files) {
    if (!add(file, FileRole::weights)) return std::nullopt;
  }
  // A projector that was never read whole is left out; the model works without it.
  if (entry.projector) add(*entry.projector, FileRole::projector);
  if (entry.metadata) shared.license = entry.metadata->license;
  return shared;
}

std::string share_index(const std::vector<SharedModel>& models) {
  bj::array list;
  list.reserve(models.size());
  for (const auto& model : models) list.push_back(describe(model));
  return json::serialize(bj::object{{"corral_index", 1}, {"models", std::move(list)}});
}

std::string share_path(const SharedFile& file) {
  return fmt::format("blobs/sha256-{}/{}", file.digest.substr(7), file.name);
}

}  // namespace corral::models

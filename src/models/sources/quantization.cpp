#include "models/sources/quantization.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/text.hpp"
#include "models/gguf.hpp"
#include "models/sources/source.hpp"

namespace corral::models {
namespace {

constexpr std::string_view kFileEnding = ".gguf";
constexpr std::string_view kDefault = "Q4_K_M";

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

bool is_gguf_path(std::string_view path) { return to_lower(path).ends_with(kFileEnding); }

std::string stem_of_path(std::string_view file_name) {
  if (auto part = parse_split_name(file_name)) return part->stem;
  if (is_gguf_path(file_name)) file_name.remove_suffix(kFileEnding.size());
  return std::string(file_name);
}

// Q4_K_M, IQ2_XXS, TQ1_0, Q8_0, F16, BF16, F32, MXFP4.
bool is_quantization(std::string_view word) {
  for (std::string_view plain : {"F16", "BF16", "F32", "MXFP4", "NVFP4", "FP16", "FP32"}) {
    if (word == plain || word.starts_with(std::string(plain) + "_")) return true;
  }
  for (std::string_view start : {"IQ", "TQ", "Q"}) {
    if (!word.starts_with(start)) continue;
    auto rest = word.substr(start.size());
    return rest.size() >= 3 && rest[0] >= '1' && rest[0] <= '8' && rest[1] == '_';
  }
  return false;
}

}  // namespace

std::string quantization_of(std::string_view file_name) {
  std::string stem = upper(stem_of_path(file_part(file_name)));
  // The last word that is one: a model's name may hold "Q" words of its own before it.
  std::string found;
  std::string_view before;
  std::size_t begin = 0;
  while (begin <= stem.size()) {
    auto end = std::min(stem.find_first_of("-. ", begin), stem.size());
    std::string_view word = std::string_view(stem).substr(begin, end - begin);
    if (is_quantization(word))
      found = before == "UD" ? fmt::format("UD-{}", word) : std::string(word);
    before = word;
    begin = end + 1;
  }
  return found;
}

std::optional<double> bits_of(std::string_view quantization) {
  std::string name = upper(quantization);
  if (name.starts_with("UD-")) name.erase(0, 3);
  if (name.starts_with("F32") || name.starts_with("FP32")) return 32;
  if (name.starts_with("BF16") || name.starts_with("F16") || name.starts_with("FP16")) return 16;
  if (name.starts_with("MXFP4") || name.starts_with("NVFP4")) return 4.3;
  auto digit = name.find_first_of("12345678");
  if (digit == std::string::npos || !is_quantization(name)) return std::nullopt;
  double bits = name[digit] - '0';
  // Finer steps within one number of bits, in the order of the sizes of files.
  constexpr std::pair<std::string_view, double> kSteps[] = {
      {"XXS", 0.1},   {"XS", 0.25},   {"_NL", 0.5},  {"_K_S", 0.55}, {"_0", 0.5}, {"_1", 0.95},
      {"_K_M", 0.85}, {"_K_XL", 1.0}, {"_K_L", 0.9}, {"_S", 0.4},    {"_M", 0.6}, {"_K", 0.6}};
  for (auto [ending, step] : kSteps) {
    if (name.ends_with(ending)) return bits + step;
  }
  return bits + 0.5;
}

namespace {

// Parts of split models by their folder and stem.
void add_splits(const std::map<std::string, std::map<unsigned, std::size_t>>& splits,
                std::span<const std::string> paths, RepositoryFiles& found) {
  for (const auto& [key, parts] : splits) {
    auto name = parse_split_name(file_part(paths[parts.begin()->second]));
    if (parts.size() != name->count) continue;
    FileGroup group{quantization_of(paths[parts.begin()->second]), {}};
    group.files.reserve(parts.size());
    for (auto [number, index] : parts) group.files.push_back(index);
    found.models.push_back(std::move(group));
  }
}

std::string names_of(const RepositoryFiles& files, std::span<const std::string> paths) {
  std::set<std::string> names;
  for (const auto& group : files.models) {
    names.insert(group.quantization.empty() ? paths[group.files[0]] : group.quantization);
  }
  std::vector<std::string> list(names.begin(), names.end());
  constexpr std::size_t kMost = 30;
  if (list.size() > kMost) list.resize(kMost);
  return join(list, ", ");
}

std::string paths_of(const std::vector<const FileGroup*>& groups,
                     std::span<const std::string> paths) {
  std::vector<std::string> list;
  list.reserve(groups.size());
  for (const auto* group : groups) list.push_back(paths[group->files[0]]);
  constexpr std::size_t kMost = 10;
  if (list.size() > kMost) list.resize(kMost);
  return join(list, ", ");
}

Result<FileGroup> only_one(const std::vector<const FileGroup*>& fitting,
                           std::span<const std::string> paths) {
  if (fitting.size() == 1) return *fitting[0];
  return fail(ErrorCode::conflict,
              fmt::format("{} files fit: {}", fitting.size(), paths_of(fitting, paths)))
      .hint("name one of them: hf:OWNER/REPOSITORY/FILE.gguf");
}

// Distance to Q4_K_M; what is a little larger is better than what is a little smaller.
double distance(const FileGroup& group) {
  if (group.quantization == kDefault) return -1;
  auto bits = bits_of(group.quantization);
  if (!bits) return 100;
  double off = *bits - *bits_of(kDefault);
  return off < 0 ? -off * 1.25 : off;
}

}  // namespace

RepositoryFiles group_files(std::span<const std::string> paths) {
  RepositoryFiles found;
  std::map<std::string, std::map<unsigned, std::size_t>> splits;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!is_gguf_path(paths[i])) continue;
    auto name = file_part(paths[i]);
    if (to_lower(name).contains("mmproj")) {
      found.projectors.push_back(i);
    } else if (auto part = parse_split_name(name)) {
      auto folder = std::string_view(paths[i]).substr(0, paths[i].size() - name.size());
      splits[fmt::format("{}{}-{}", folder, part->stem, part->count)][part->number] = i;
    } else {
      found.models.push_back({quantization_of(name), {i}});
    }
  }
  add_splits(splits, paths, found);
  return found;
}

Result<FileGroup> choose_group(const RepositoryFiles& files, std::span<const std::string> paths,
                               std::string_view wanted) {
  if (files.models.empty()) {
    return fail(ErrorCode::not_found, "the repository has no whole GGUF file")
        .hint(
            "Corral runs models in the GGUF format; look for a repository whose name ends in "
            "GGUF");
  }
  std::vector<const FileGroup*> fitting;
  if (is_gguf_path(wanted)) {
    for (const auto& group : files.models) {
      bool has = std::ranges::any_of(group.files, [&](auto i) { return paths[i] == wanted; });
      if (has) fitting.push_back(&group);
    }
  } else if (!wanted.empty() && !iequals(wanted, "latest")) {
    for (const auto& group : files.models) {
      if (iequals(group.quantization, wanted)) fitting.push_back(&group);
    }
  } else {
    double best = 1e9;
    for (const auto& group : files.models) best = std::min(best, distance(group));
    for (const auto& group : files.models) {
      if (distance(group) <= best) fitting.push_back(&group);
    }
  }
  if (!fitting.empty()) return only_one(fitting, paths);
  return fail(ErrorCode::not_found, fmt::format("the repository has no '{}'", wanted))
      .hint(fmt::format("it has {}", names_of(files, paths)));
}

std::optional<std::size_t> choose_projector(const RepositoryFiles& files,
                                            std::span<const std::string> paths) {
  std::optional<std::size_t> best;
  int best_rank = 0;
  for (std::size_t index : files.projectors) {
    std::string name = upper(file_part(paths[index]));
    int rank = 4;
    if (name.contains("F32")) rank = 3;
    if (name.contains("BF16")) {
      rank = 2;
    } else if (name.contains("F16")) {
      rank = 1;
    }
    if (best && rank >= best_rank) continue;
    best = index;
    best_rank = rank;
  }
  return best;
}

}  // namespace corral::models

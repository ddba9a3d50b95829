#include "models/folder_walk.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.hpp"
#include "models/gguf_header.hpp"

namespace corral::models {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxFiles = 20'000;
constexpr std::string_view kEnding = ".gguf";

FileIdentity identity_of(const sys::Path& path, const sys::FileInfo& info) {
  return {path, info.size, info.modified, info.inode, info.device};
}

bool has_ending(std::string_view name) {
  return name.size() > kEnding.size() &&
         iequals(name.substr(name.size() - kEnding.size()), kEnding);
}

std::string_view without_ending(std::string_view name) {
  return name.substr(0, name.size() - kEnding.size());
}

// A name that can stand in a log line, a URL and a JSON answer.
bool is_sound(std::string_view name) {
  return is_utf8(name) && std::ranges::none_of(name, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

class Walk {
 public:
  Walk(sys::Files& files, std::vector<std::string>& warnings)
      : files_(files), warnings_(warnings) {}

  Result<void> start(const sys::Path& root) {
    CORRAL_TRY(const auto info, files_.stat(root));
    entered_.emplace(info.device, info.inode);
    return enter(root, "", 0);
  }

  std::vector<FoundFile> found;

 private:
  Result<void> enter(const sys::Path& folder, const std::string& below, int depth) {
    CORRAL_TRY(const auto listed, files_.list(folder));
    for (const sys::FileInfo& item : listed) {
      const std::string name = item.path.filename().string();
      if (name.empty() || name.front() == '.') continue;
      look_at(folder / name, name, below, depth);
      if (found.size() >= kMaxFiles) {
        warnings_.push_back(fmt::format("only the first {} model files are looked at", kMaxFiles));
        return {};
      }
    }
    return {};
  }

  void look_at(const sys::Path& path, const std::string& name, const std::string& below,
               int depth) {
    // A listing may not follow links; stat does. What vanished since is no news.
    const auto info = files_.stat(path);
    if (!info) return;
    if (!is_sound(name)) {
      if (info->is_directory || has_ending(name)) {
        warnings_.push_back(
            fmt::format("'{}' is passed over: its name is not plain UTF-8 text", printable(name)));
      }
      return;
    }
    if (!info->is_directory) {
      if (has_ending(name)) found.push_back({identity_of(path, *info), below, name});
      return;
    }
    // A link may lead back up; each folder is entered once.
    if (depth >= kMaxDepth || !entered_.emplace(info->device, info->inode).second) return;
    const auto inside = enter(path, below + name + "/", depth + 1);
    if (!inside) {
      warnings_.push_back(fmt::format("{}: {}", path.string(), inside.error().describe()));
    }
  }

  sys::Files& files_;
  std::vector<std::string>& warnings_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> entered_;
};

// "q4_k_m", "iq2_xxs", "f16", "bf16", "mxfp4", "ud"
bool is_quantization_word(std::string_view word) {
  static constexpr std::string_view kPlain[] = {"f16",  "f32",   "bf16", "fp16",
                                                "fp32", "mxfp4", "ud"};
  if (std::ranges::find(kPlain, word) != std::end(kPlain)) return true;
  if (word.starts_with('i')) word.remove_prefix(1);
  return word.size() >= 2 && word[0] == 'q' && word[1] >= '0' && word[1] <= '9';
}

void finish(ModelEntry& entry) {
  for (const FileIdentity& file : entry.files) {
    entry.bytes += file.size;
    entry.modified = std::max(entry.modified, file.modified);
  }
}

// The parts of one split model, by number.
struct SplitSet {
  std::string name;
  std::string first_file;
  unsigned count = 0;
  std::map<unsigned, FileIdentity> parts;
};

ModelEntry entry_of(SplitSet set) {
  ModelEntry entry;
  entry.name = std::move(set.name);
  std::string missing;
  unsigned absent = 0;
  for (unsigned number = 1; number <= set.count; ++number) {
    const auto part = set.parts.find(number);
    if (part != set.parts.end()) {
      entry.files.push_back(std::move(part->second));
    } else if (++absent <= 5) {
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", number);
    }
  }
  if (absent > 0) {
    entry.problem =
        fail(ErrorCode::io, fmt::format("{} of {} parts are missing (number {}{})", absent,
                                        set.count, missing, absent > 5 ? ", ..." : ""))
            .hint(fmt::format("put all parts beside {}", set.first_file));
  }
  finish(entry);
  return entry;
}

}  // namespace

Result<std::vector<FoundFile>> walk_models(sys::Files& files, const sys::Path& root,
                                           std::vector<std::string>& warnings) {
  Walk walk(files, warnings);
  CORRAL_CHECK(walk.start(root));
  std::ranges::sort(walk.found, [](const FoundFile& a, const FoundFile& b) {
    return std::tie(a.folder, a.name) < std::tie(b.folder, b.name);
  });
  return std::move(walk.found);
}

bool is_projector_name(std::string_view file_name) {
  return to_lower(file_name).find("mmproj") != std::string::npos;
}

std::string family_of(std::string_view stem) {
  std::string text = to_lower(stem);
  const std::size_t at = text.find("mmproj");
  if (at != std::string::npos) text.erase(at, 6);
  while (true) {
    while (!text.empty() && std::string_view("-._").contains(text.back())) text.pop_back();
    const std::size_t cut = text.find_last_of("-.");
    const std::size_t word = cut == std::string::npos ? 0 : cut + 1;
    if (text.empty() || !is_quantization_word(std::string_view(text).substr(word))) break;
    text.erase(word);
  }
  while (!text.empty() && std::string_view("-._").contains(text.front())) text.erase(0, 1);
  return text;
}

std::vector<ModelEntry> group_models(const std::vector<FoundFile>& found) {
  std::vector<ModelEntry> entries;
  std::map<std::pair<std::string, unsigned>, SplitSet> sets;  // by folder and stem, and count
  for (const FoundFile& file : found) {
    if (is_projector_name(file.name)) continue;
    if (const auto split = parse_split_name(file.name)) {
      SplitSet& set = sets[{file.folder + split->stem, split->count}];
      set.name = file.folder + split->stem;
      set.first_file = split_file_name(split->stem, 1, split->count);
      set.count = split->count;
      set.parts.emplace(split->number, file.identity);
      continue;
    }
    ModelEntry entry;
    entry.name = file.folder + std::string(without_ending(file.name));
    entry.files.push_back(file.identity);
    finish(entry);
    entries.push_back(std::move(entry));
  }
  for (auto& [key, set] : sets) entries.push_back(entry_of(std::move(set)));
  return entries;
}

void attach_projectors(const std::vector<FoundFile>& found, std::vector<ModelEntry>& entries,
                       std::vector<std::string>& warnings) {
  for (const FoundFile& file : found) {
    if (!is_projector_name(file.name)) continue;
    const std::string family = family_of(without_ending(file.name));
    const bool general = family.empty() || family == "model";
    bool fits = false;
    for (ModelEntry& entry : entries) {
      const std::size_t slash = entry.name.find_last_of('/');
      const std::size_t own = slash == std::string::npos ? 0 : slash + 1;
      if (entry.name.substr(0, own) != file.folder) continue;
      // In the top folder models of all kinds lie together: there, only a name connects.
      const bool mine =
          general ? !file.folder.empty() : family_of(entry.name.substr(own)) == family;
      if (!mine) continue;
      fits = true;
      if (!entry.projector) entry.projector = file.identity;
    }
    if (!fits) {
      warnings.push_back(
          fmt::format("{}{} belongs to no model: name it mmproj-<model>.gguf, or give "
                      "it a folder with its model",
                      file.folder, file.name));
    }
  }
}

void make_names_unique(std::vector<ModelEntry>& entries, std::vector<std::string>& warnings) {
  std::set<std::string> taken;
  for (ModelEntry& entry : entries) {
    std::string name = entry.name;
    for (int number = 2; !taken.insert(name).second; ++number) {
      name = fmt::format("{}-{}", entry.name, number);
    }
    if (name == entry.name) continue;
    warnings.push_back(fmt::format("{} is called '{}', because the name '{}' is taken",
                                   entry.files.front().path.string(), name, entry.name));
    entry.name = std::move(name);
  }
}

}  // namespace corral::models

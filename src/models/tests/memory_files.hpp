// Files that exist in memory only, count what is done to them, and fail when told to.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sys/files.hpp"

namespace corral::models {

struct MemoryFile {
  std::string content;
  sys::Wall modified{};
  std::uint64_t inode = 0;
};

// How many more reads succeed; negative: all of them.
struct ReadBudget {
  int left = -1;
  std::size_t largest = 0;  // the longest read that was asked for
  int calls = 0;
};

class MemoryReadable final : public sys::ReadableFile {
 public:
  explicit MemoryReadable(std::string content, ReadBudget* budget = nullptr)
      : content_(std::move(content)), size_(content_.size()), budget_(budget) {}

  // Says that it is `size` long, whatever it holds: a huge file that nobody has to make, or one
  // that became shorter since.
  MemoryReadable(std::string content, std::uint64_t size)
      : content_(std::move(content)), size_(size) {}

  std::uint64_t size() const override { return size_; }

  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t length) const override {
    if (budget_ != nullptr) {
      ++budget_->calls;
      budget_->largest = std::max(budget_->largest, length);
      if (budget_->left == 0) return fail(ErrorCode::io, "the disk failed");
      if (budget_->left > 0) --budget_->left;
    }
    if (offset >= content_.size()) return 0;
    const std::size_t count = std::min<std::uint64_t>(length, content_.size() - offset);
    std::copy_n(content_.data() + offset, count, out);
    return count;
  }

 private:
  std::string content_;
  std::uint64_t size_;
  ReadBudget* budget_ = nullptr;
};

// Paths are absolute. Folders come to be with the files in them.
class MemoryFiles final : public sys::Files {
 public:
  void put(const std::string& path, std::string content, sys::Wall modified) {
    MemoryFile& file = files_[path];
    file = {std::move(content), modified, ++last_inode_};
  }
  void erase(const std::string& path) { files_.erase(path); }
  void link_folder(const std::string& path, const std::string& target) { links_[path] = target; }
  void refuse(const std::string& path) { refused_.push_back(path); }

  int opens = 0;

  Result<sys::FileInfo> stat(const sys::Path& path) override {
    const std::string name = resolved(path.string());
    const auto file = files_.find(name);
    if (file != files_.end()) {
      return sys::FileInfo{path,  file->second.content.size(), file->second.modified,
                           false, file->second.inode,          1};
    }
    if (!is_folder(name)) return fail(ErrorCode::not_found, name + " does not exist");
    return sys::FileInfo{path, 0, {}, true, std::hash<std::string>{}(name), 2};
  }

  Result<std::vector<sys::FileInfo>> list(const sys::Path& directory) override {
    const std::string name = resolved(directory.string());
    if (std::ranges::find(refused_, name) != refused_.end()) {
      return fail(ErrorCode::io, "no right to list " + name);
    }
    if (!is_folder(name)) return fail(ErrorCode::not_found, name + " does not exist");
    std::map<std::string, sys::FileInfo> items;
    const std::string prefix = name + "/";
    const auto add = [&](const std::string& path) {
      if (!path.starts_with(prefix)) return;
      const std::string item =
          path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size());
      if (const auto info = stat(directory / item)) items[item] = *info;
    };
    for (const auto& [path, file] : files_) add(path);
    for (const auto& [path, target] : links_) add(path);
    std::vector<sys::FileInfo> out;
    for (auto& [item, info] : items) out.push_back(std::move(info));
    return out;
  }

  Result<std::unique_ptr<sys::ReadableFile>> open(const sys::Path& path) override {
    ++opens;
    const auto file = files_.find(resolved(path.string()));
    if (file == files_.end()) return fail(ErrorCode::not_found, path.string() + " is gone");
    return std::make_unique<MemoryReadable>(file->second.content);
  }

  Result<std::string> read(const sys::Path& path, std::uint64_t limit) override {
    const auto file = files_.find(resolved(path.string()));
    if (file == files_.end()) return fail(ErrorCode::not_found, path.string() + " is gone");
    if (file->second.content.size() > limit) return fail(ErrorCode::too_large, "too large");
    return file->second.content;
  }
  Result<void> write_atomic(const sys::Path& path, std::string_view content, unsigned) override {
    put(path.string(), std::string(content), {});
    return {};
  }
  Result<void> make_directories(const sys::Path&, unsigned) override { return {}; }
  Result<void> remove(const sys::Path& path) override {
    erase(path.string());
    return {};
  }

 private:
  bool is_folder(const std::string& name) const {
    const auto at = files_.lower_bound(name + "/");
    return at != files_.end() && at->first.starts_with(name + "/");
  }
  std::string resolved(std::string path) const {
    for (const auto& [link, target] : links_) {
      for (int hops = 0; hops < 20 && (path == link || path.starts_with(link + "/")); ++hops) {
        path = target + path.substr(link.size());
      }
    }
    return path;
  }

  std::map<std::string, MemoryFile> files_;
  std::map<std::string, std::string> links_;
  std::vector<std::string> refused_;
  std::uint64_t last_inode_ = 0;
};

}  // namespace corral::models

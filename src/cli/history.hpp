// The lines a person typed, kept in one file of their own (mode 0600).
//
// Thread rule: one owner. A missing or unreadable file is an empty history.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::cli {

class HistoryFile {
 public:
  static constexpr std::size_t kLines = 1000;

  HistoryFile(sys::Files& files, sys::Path path) : files_(files), path_(std::move(path)) {}

  std::vector<std::string> load();
  // Adds a line unless it is empty, holds a line break, or repeats the last one. What another
  // session added meanwhile is kept.
  Result<void> add(std::string_view line);

 private:
  sys::Files& files_;
  sys::Path path_;
};

}  // namespace corral::cli

// A folder of a test's own, removed at its end.
#pragma once

#include <stdlib.h>

#include <fstream>

#include "sys/files.hpp"

namespace corral::sys {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "corral-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const Path& path() const { return path_; }
  Path operator/(const Path& name) const { return path_ / name; }

  Path put(const Path& name, std::string_view content) const {
    Path path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

 private:
  Path path_;
};

}  // namespace corral::sys

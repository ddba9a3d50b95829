#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "sys/resource_limits_linux.hpp"

namespace corral::sys {
namespace {

class RealControlFiles final : public ControlFiles {
 public:
  bool make_folder(const Path& folder) override { return ::mkdir(folder.c_str(), 0755) == 0; }
  bool remove_folder(const Path& folder) override { return ::rmdir(folder.c_str()) == 0; }

  std::vector<std::string> folders(const Path& folder) override {
    std::vector<std::string> out;
    std::unique_ptr<DIR, int (*)(DIR*)> opened(::opendir(folder.c_str()), ::closedir);
    if (!opened) return out;
    while (const dirent* entry = ::readdir(opened.get())) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.') out.emplace_back(entry->d_name);
    }
    return out;
  }

  std::string read(const Path& file) override {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // In one call, as these files want it.
  bool write(const Path& file, std::string_view text) override {
    const Fd fd = open_to_write(file);
    return fd.valid() &&
           ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  }

  Fd open_to_write(const Path& file) override {
    return Fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  }
};

}  // namespace

std::unique_ptr<ControlFiles> real_control_files() { return std::make_unique<RealControlFiles>(); }

}  // namespace corral::sys

// Inside `sys`, Linux only: limits by control groups, below a folder that stands for `/` and over
// files that a test can make up. Files and rules: the kernel's admin-guide/cgroup-v2.rst and
// cgroup-v1/memory.rst, scheduler/sched-bwc.rst, block/bfq-iosched.rst.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/resource_limits.hpp"

namespace corral::sys {

// The files of a control group file system: a folder made there has its files at once, and is
// removed with them.
class ControlFiles {
 public:
  virtual ~ControlFiles() = default;
  virtual bool make_folder(const Path& folder) = 0;
  virtual bool remove_folder(const Path& folder) = 0;
  virtual std::vector<std::string> folders(const Path& folder) = 0;
  virtual std::string read(const Path& file) = 0;  // empty when it cannot be read
  virtual bool write(const Path& file, std::string_view text) = 0;
  virtual Fd open_to_write(const Path& file) = 0;  // invalid when it cannot be
};
std::unique_ptr<ControlFiles> real_control_files();

std::unique_ptr<ResourceLimits> resource_limits_below(const Path& root,
                                                      std::unique_ptr<ControlFiles> files, int pid);

}  // namespace corral::sys

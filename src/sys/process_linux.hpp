// Inside `sys`, Linux only: what the process file system says about one process.
#pragma once

#include "sys/process.hpp"

namespace corral::sys {

// From /proc/<pid>/stat (man 5 proc); zeros when there is no such process or it is a zombie.
ProcessUsage process_usage(int pid);

}  // namespace corral::sys

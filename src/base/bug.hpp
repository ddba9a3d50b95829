// BUG(): a state that cannot happen did. Logs and counts in release, aborts in debug builds.
#pragma once

#include <cstdint>
#include <string_view>

namespace corral {

// Called by BUG(). The handler installed by `app` writes a log line and counts a metric.
using BugHandler = void (*)(std::string_view file, int line, std::string_view what);
void set_bug_handler(BugHandler handler);
void report_bug(std::string_view file, int line, std::string_view what);
std::uint64_t bugs_seen();

}  // namespace corral

#define BUG(what) ::corral::report_bug(__FILE__, __LINE__, (what))

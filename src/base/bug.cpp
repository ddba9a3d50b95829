#include "base/bug.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace corral {
namespace {
std::atomic<BugHandler> handler{nullptr};
std::atomic<std::uint64_t> seen{0};
}  // namespace

void set_bug_handler(BugHandler new_handler) { handler = new_handler; }

void report_bug(std::string_view file, int line, std::string_view what) {
  ++seen;
  if (auto* call = handler.load()) {
    call(file, line, what);
  } else {
    std::fprintf(stderr, "BUG %.*s:%d: %.*s\n", static_cast<int>(file.size()), file.data(), line,
                 static_cast<int>(what.size()), what.data());
  }
#ifndef NDEBUG
  std::abort();
#endif
}

std::uint64_t bugs_seen() { return seen; }

}  // namespace corral

// A shared library loaded while the program runs, for what only some installations need.
//
// Thread rule: immutable once opened; any thread.
// Lifecycle: a library stays loaded until the program ends, since libraries like libpq leave exit
// handlers behind and must not disappear under them.
// Example:
//   CORRAL_TRY(auto library, sys::SharedLibrary::open("libpq.so.5"));
//   CORRAL_TRY(void* version, library.symbol("PQlibVersion"));
#pragma once

#include <string>

#include "base/error.hpp"

namespace corral::sys {

class SharedLibrary {
 public:
  // By file name, as the system's loader finds it. not_found: there is none that can be loaded.
  static Result<SharedLibrary> open(const std::string& name);

  // Address of a function or variable; unsupported: the library lacks it.
  Result<void*> symbol(const std::string& name) const;

 private:
  SharedLibrary(void* handle, std::string name) : handle_(handle), name_(std::move(name)) {}

  void* handle_;
  std::string name_;
};

}  // namespace corral::sys

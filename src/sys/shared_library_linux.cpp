#include <dlfcn.h>

#include "sys/shared_library.hpp"

namespace corral::sys {
namespace {

// Clears the loader's message on reading it, so that the next one is about the next call.
std::string loader_message() {
  const char* text = ::dlerror();  // NOLINT(concurrency-mt-unsafe): per thread in glibc
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace

Result<SharedLibrary> SharedLibrary::open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return fail(ErrorCode::not_found, "cannot load the library '" + name + "'")
        .because(loader_message());
  return SharedLibrary(handle, name);
}

Result<void*> SharedLibrary::symbol(const std::string& name) const {
  void* address = ::dlsym(handle_, name.c_str());
  if (address == nullptr)
    return fail(ErrorCode::unsupported, "the library '" + name_ + "' has no '" + name + "'")
        .because(loader_message());
  return address;
}

}  // namespace corral::sys

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "sys/random.hpp"

namespace corral::sys {

void fill_random(std::span<unsigned char> out) {
  while (!out.empty()) {
    ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      std::abort();  // Without unpredictable bytes no key would be safe.
    }
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

std::string random_hex(std::size_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::vector<unsigned char> raw(bytes);
  fill_random(raw);
  std::string text;
  text.reserve(bytes * 2);
  for (unsigned char byte : raw) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace corral::sys

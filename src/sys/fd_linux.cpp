#include <unistd.h>

#include <cerrno>

#include "sys/fd.hpp"

namespace corral::sys {

void Fd::reset() {
  // Linux frees the number even when close() reports EINTR: a second try could close a stranger's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<std::size_t> read_available(int fd, std::span<char> out) {
  for (;;) {
    ssize_t got = ::read(fd, out.data(), out.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return std::nullopt;
    return 0;
  }
}

}  // namespace corral::sys

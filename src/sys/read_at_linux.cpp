#include "sys/read_at_linux.hpp"

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>

namespace corral::sys {

std::expected<std::size_t, int> read_at(int fd, std::uint64_t offset, char* out,
                                        std::size_t length) {
  std::size_t done = 0;
  while (done < length) {
    const ssize_t got = ::pread(fd, out + done, length - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      return std::unexpected(errno);
    }
    done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace corral::sys

// Owner of one file descriptor, and reading from a pipe.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

namespace corral::sys {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// Reads what a non-blocking descriptor holds now: the number of bytes, 0 at the end (or after an
// error, which ends a pipe too), nullopt when there is nothing yet.
std::optional<std::size_t> read_available(int fd, std::span<char> out);

}  // namespace corral::sys

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "sys/large_files.hpp"
#include "sys/read_at_linux.hpp"

namespace corral::sys {
namespace {

Error large_file_error(std::string_view what, const Path& path, int number) {
  Error error = fail_os(std::string(what) + " '" + path.string() + "'", number);
  if (number == ENOENT || number == ENOTDIR) error.code = ErrorCode::not_found;
  if (number == ENOSPC || number == EDQUOT) {
    error.message += ": the disk is full";
    error.hint_text = "free some space on that disk";
  } else if (number == EFBIG) {
    error.message += ": a limit on the size of files was passed";
    error.hint_text = "raise the limit (ulimit -f), or put the data folder on another file system";
  } else if (number == EACCES || number == EPERM) {
    error.hint_text = "check the permissions of the file and its folders";
  } else if (number == ELOOP) {
    error.hint_text = "there is a link of that name; remove it";
  }
  return error;
}

class RealLargeFile final : public LargeFile {
 public:
  RealLargeFile(Fd fd, Path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  std::uint64_t size() const override {
    struct stat st{};
    if (::fstat(fd_.get(), &st) != 0) return 0;
    return static_cast<std::uint64_t>(st.st_size);
  }

  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t length) const override {
    auto done = sys::read_at(fd_.get(), offset, out, length);
    if (!done) return large_file_error("cannot read", path_, done.error());
    return *done;
  }

  Result<void> reserve(std::uint64_t bytes) override {
    auto length = static_cast<off_t>(bytes);
    while (bytes > 0 && ::fallocate(fd_.get(), 0, 0, length) != 0) {
      if (errno == EINTR) continue;
      // Not every file system can set space aside; then writing will tell.
      if (errno == EOPNOTSUPP || errno == ENOSYS) break;
      return large_file_error("cannot make room for", path_, errno);
    }
    if (size() != bytes && ::ftruncate(fd_.get(), length) != 0) {
      return large_file_error("cannot make room for", path_, errno);
    }
    return {};
  }

  Result<void> write_at(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (put < 0) {
        if (errno == EINTR) continue;
        return large_file_error("cannot write", path_, errno);
      }
      bytes.remove_prefix(static_cast<std::size_t>(put));
      offset += static_cast<std::uint64_t>(put);
    }
    return {};
  }

  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return large_file_error("cannot sync", path_, errno);
    return {};
  }

  Result<void> set_mode(unsigned mode) override {
    if (::fchmod(fd_.get(), mode) != 0) {
      return large_file_error("cannot set the permissions of", path_, errno);
    }
    return {};
  }

 private:
  Fd fd_;
  Path path_;
};

Result<void> sync_folder_of(const Path& path) {
  Path folder = path.has_parent_path() ? path.parent_path() : Path(".");
  Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return large_file_error("cannot open the folder", folder, errno);
  // Some network and FUSE file systems know no sync of folders and say EINVAL.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) {
    return large_file_error("cannot sync the folder", folder, errno);
  }
  return {};
}

class RealLargeFiles final : public LargeFiles {
 public:
  Result<std::unique_ptr<LargeFile>> open(const Path& path, unsigned mode) override {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                 mode));
    if (!fd.valid()) return large_file_error("cannot open", path, errno);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return large_file_error("cannot look at", path, errno);
    if (!S_ISREG(st.st_mode)) {
      return fail(ErrorCode::invalid_argument, "'" + path.string() + "' is not a regular file");
    }
    return std::make_unique<RealLargeFile>(std::move(fd), path);
  }

  Result<void> rename(const Path& from, const Path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return large_file_error("cannot move into place", from, errno);
    }
    CORRAL_CHECK(sync_folder_of(to));
    return sync_folder_of(from);
  }

  Result<std::uint64_t> free_bytes(const Path& folder) override {
    struct statvfs stats{};
    if (::statvfs(folder.c_str(), &stats) != 0) {
      return large_file_error("cannot look at the disk of", folder, errno);
    }
    return std::uint64_t{stats.f_bavail} * stats.f_frsize;
  }
};

}  // namespace

std::unique_ptr<LargeFiles> real_large_files() { return std::make_unique<RealLargeFiles>(); }

}  // namespace corral::sys

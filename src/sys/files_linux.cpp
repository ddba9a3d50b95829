#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "sys/files.hpp"
#include "sys/random.hpp"
#include "sys/read_at_linux.hpp"

namespace corral::sys {
namespace {

Error file_error(std::string_view what, const Path& path, int number) {
  std::string text = std::string(what) + " '" + path.string() + "'";
  if (number == ENOENT || number == ENOTDIR) {
    Error error = fail_os(std::move(text), number);
    error.code = ErrorCode::not_found;
    return error;
  }
  if (number == EACCES || number == EPERM)
    return fail_os(std::move(text), number)
        .hint("check the permissions of the file and its folders");
  if (number == ENOSPC || number == EDQUOT)
    return fail_os(std::move(text), number).hint("free some space on that disk");
  return fail_os(std::move(text), number);
}

FileInfo info_of(Path path, const struct stat& st) {
  FileInfo info;
  info.path = std::move(path);
  info.size = S_ISREG(st.st_mode) ? static_cast<std::uint64_t>(st.st_size) : 0;
  auto since_epoch =
      std::chrono::seconds(st.st_mtim.tv_sec) + std::chrono::nanoseconds(st.st_mtim.tv_nsec);
  info.modified = Wall(std::chrono::duration_cast<Wall::duration>(since_epoch));
  info.is_directory = S_ISDIR(st.st_mode);
  info.inode = st.st_ino;
  info.device = st.st_dev;
  return info;
}

class RealFile final : public ReadableFile {
 public:
  RealFile(Fd fd, Path path, std::uint64_t size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}
  std::uint64_t size() const override { return size_; }

  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t length) const override {
    auto done = sys::read_at(fd_.get(), offset, out, length);
    if (!done) return file_error("cannot read", path_, done.error());
    return *done;
  }

 private:
  Fd fd_;
  Path path_;
  std::uint64_t size_;
};

// The name beside the target under which new content is written; unlinked unless renamed.
class TemporaryName {
 public:
  explicit TemporaryName(const Path& target)
      : path_(target.parent_path() /
              ("." + target.filename().string() + "." + random_hex(6) + ".tmp")) {}
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  ~TemporaryName() {
    if (!renamed_) ::unlink(path_.c_str());
  }
  const Path& path() const { return path_; }
  void renamed() { renamed_ = true; }

 private:
  Path path_;
  bool renamed_ = false;
};

int write_whole(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return 0;
}

// Reads a stream of unknown length (a pipe, a file below /proc) as well as a regular file.
Result<std::string> read_to_end(int fd, const Path& path, std::uint64_t limit,
                                std::uint64_t expected) {
  std::string content;
  std::size_t chunk = static_cast<std::size_t>(std::min(expected, limit)) + 1;
  for (;;) {
    std::size_t at = content.size();
    content.resize(at + std::max<std::size_t>(chunk, 4096));
    ssize_t got = ::read(fd, content.data() + at, content.size() - at);
    int number = errno;
    content.resize(at + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) {
      if (number == EINTR) continue;
      return file_error("cannot read", path, number);
    }
    if (content.size() > limit)
      return fail(ErrorCode::too_large,
                  "'" + path.string() + "' is larger than " + std::to_string(limit) + " bytes");
    if (got == 0) return content;
    chunk = 65536;
  }
}

class RealFiles final : public Files {
 public:
  Result<FileInfo> stat(const Path& path) override {
    struct stat st{};
    if (::stat(path.c_str(), &st) != 0) return file_error("cannot look at", path, errno);
    return info_of(path, st);
  }

  Result<std::vector<FileInfo>> list(const Path& directory) override {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    if (!dir) return file_error("cannot list", directory, errno);
    std::vector<FileInfo> entries;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(dir.get());
      if (entry == nullptr) {
        if (errno != 0) return file_error("cannot list", directory, errno);
        break;
      }
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat st{};
      // Gone meanwhile, or a link that leads nowhere: not worth failing the whole listing.
      if (::fstatat(::dirfd(dir.get()), entry->d_name, &st, 0) != 0) continue;
      entries.push_back(info_of(directory / name, st));
    }
    std::sort(entries.begin(), entries.end(), [](const FileInfo& a, const FileInfo& b) {
      return a.path.native() < b.path.native();
    });
    return entries;
  }

  Result<std::unique_ptr<ReadableFile>> open(const Path& path) override {
    // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) return file_error("cannot open", path, errno);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return file_error("cannot look at", path, errno);
    if (!S_ISREG(st.st_mode))
      return fail(ErrorCode::invalid_argument, "'" + path.string() + "' is not a regular file");
    auto size = static_cast<std::uint64_t>(st.st_size);
    return std::make_unique<RealFile>(std::move(fd), path, size);
  }

  Result<std::string> read(const Path& path, std::uint64_t limit) override {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) return file_error("cannot open", path, errno);
    struct stat st{};
    if (::fstat(fd.get(), &st) != 0) return file_error("cannot look at", path, errno);
    if (S_ISDIR(st.st_mode))
      return fail(ErrorCode::invalid_argument, "'" + path.string() + "' is a folder, not a file");
    if (!S_ISREG(st.st_mode)) {
      int flags = ::fcntl(fd.get(), F_GETFL);
      ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
    }
    auto size = static_cast<std::uint64_t>(std::max<off_t>(st.st_size, 0));
    if (S_ISREG(st.st_mode) && size > limit)
      return fail(ErrorCode::too_large,
                  "'" + path.string() + "' is larger than " + std::to_string(limit) + " bytes");
    return read_to_end(fd.get(), path, limit, size);
  }

  Result<void> write_atomic(const Path& path, std::string_view content, unsigned mode) override {
    if (!path.has_filename())
      return fail(ErrorCode::invalid_argument, "'" + path.string() + "' names no file");
    TemporaryName temporary(path);
    {
      Fd fd(::open(temporary.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                   0600));
      if (!fd.valid()) return file_error("cannot write", path, errno);
      int number = write_whole(fd.get(), content);
      if (number == 0 && ::fchmod(fd.get(), mode) != 0) number = errno;
      if (number == 0 && ::fsync(fd.get()) != 0) number = errno;
      if (number != 0) return file_error("cannot write", path, number);
    }
    if (::rename(temporary.path().c_str(), path.c_str()) != 0)
      return file_error("cannot write", path, errno);
    temporary.renamed();
    return sync_folder(path.has_parent_path() ? path.parent_path() : Path("."));
  }

  Result<void> make_directories(const Path& path, unsigned mode) override {
    Path so_far;
    for (const Path& part : path) {
      so_far /= part;
      if (::mkdir(so_far.c_str(), mode) == 0) continue;
      int number = errno;
      struct stat st{};
      // An existing folder may answer with EEXIST, EROFS or EACCES, depending on the file system.
      if (::stat(so_far.c_str(), &st) != 0)
        return file_error("cannot make the folder", path, number);
      if (!S_ISDIR(st.st_mode))
        return fail(ErrorCode::conflict, "cannot make the folder '" + path.string() + "': '" +
                                             so_far.string() + "' is a file");
    }
    return {};
  }

  Result<void> remove(const Path& path) override {
    if (::remove(path.c_str()) != 0 && errno != ENOENT)
      return file_error("cannot remove", path, errno);
    return {};
  }

 private:
  // Without this a power cut may lose the new name, though not the content.
  static Result<void> sync_folder(const Path& folder) {
    Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return file_error("cannot open the folder", folder, errno);
    // Some network and FUSE file systems know no sync of folders and say EINVAL.
    if (::fsync(fd.get()) != 0 && errno != EINVAL)
      return file_error("cannot sync the folder", folder, errno);
    return {};
  }
};

}  // namespace

std::unique_ptr<Files> real_files() { return std::make_unique<RealFiles>(); }

}  // namespace corral::sys

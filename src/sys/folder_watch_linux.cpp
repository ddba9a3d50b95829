#include <dirent.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "sys/files.hpp"

namespace corral::sys {
namespace {

// IN_MODIFY is left out: a file that is being written is of interest when it is closed.
constexpr std::uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM |
                                  IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ONLYDIR | IN_EXCL_UNLINK;

class InotifyWatch final : public FolderWatch {
 public:
  InotifyWatch(Fd fd, std::vector<Path> roots, std::size_t max_folders)
      : fd_(std::move(fd)), roots_(std::move(roots)), max_folders_(max_folders) {}

  Result<void> begin() {
    for (const Path& root : roots_) {
      int number = add_tree(root);
      if (number == 0) continue;
      Error error = fail_os("cannot watch the folder '" + root.string() + "'", number);
      if (number == ENOENT || number == ENOTDIR) error.code = ErrorCode::not_found;
      return std::unexpected(std::move(error));
    }
    return {};
  }

  int fd() const override { return fd_.get(); }

  bool drain() override {
    bool changed = false;
    alignas(inotify_event) char buffer[16 * 1024];
    for (;;) {
      ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return changed;
      for (ssize_t at = 0; at < got;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        handle(*event);
        changed = true;
      }
    }
  }

  std::string take_warning() override { return std::exchange(warning_, {}); }

 private:
  void handle(const inotify_event& event) {
    if (event.mask & IN_Q_OVERFLOW) {
      // Events were lost, maybe of new folders: look everywhere again.
      for (const Path& root : roots_) add_tree(root);
      return;
    }
    auto found = folders_.find(event.wd);
    if (event.mask & IN_IGNORED) {
      if (found != folders_.end()) folders_.erase(found);
      return;
    }
    if (event.len == 0 || found == folders_.end()) return;
    Path entry = found->second / event.name;
    // A new link is not marked as a folder even if it leads to one.
    if (event.mask & (IN_CREATE | IN_MOVED_TO)) {
      if ((event.mask & IN_ISDIR) || leads_to_folder(entry)) add_tree(entry);
    }
    if ((event.mask & IN_MOVED_FROM) && (event.mask & IN_ISDIR)) forget_tree(entry);
  }

  // Watches `top` and all below; 0 or the errno for `top` itself. A folder reached twice (through
  // links) has the same watch descriptor, which also ends loops.
  int add_tree(const Path& top) {
    std::vector<Path> pending{top};
    std::unordered_set<int> visited;
    int first = -1;
    while (!pending.empty()) {
      Path folder = std::move(pending.back());
      pending.pop_back();
      int number = add(folder, pending, visited);
      if (first < 0) first = number;
    }
    return first;
  }

  int add(const Path& folder, std::vector<Path>& pending, std::unordered_set<int>& visited) {
    int wd = ::inotify_add_watch(fd_.get(), folder.c_str(), kEvents);
    if (wd < 0) {
      if (errno != ENOSPC) return errno;
      warn("the system's limit of watched folders (fs.inotify.max_user_watches) is reached");
      return 0;
    }
    if (!visited.insert(wd).second) return 0;
    if (!folders_.contains(wd) && folders_.size() >= max_folders_) {
      ::inotify_rm_watch(fd_.get(), wd);
      warn("more than " + std::to_string(max_folders_) + " folders to watch");
      return 0;
    }
    folders_.insert_or_assign(wd, folder);
    list_sub_folders(folder, pending);
    return 0;
  }

  static bool leads_to_folder(const Path& path) {
    struct stat st{};
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
  }

  void list_sub_folders(const Path& folder, std::vector<Path>& pending) const {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
    if (!dir) return;  // Gone meanwhile, or not ours to read: its parent is still watched.
    while (const dirent* entry = ::readdir(dir.get())) {
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (entry->d_type != DT_DIR && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        continue;
      struct stat st{};
      if (::fstatat(::dirfd(dir.get()), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
        pending.push_back(folder / name);
    }
  }

  void forget_tree(const Path& top) {
    std::string below = top.native() + "/";
    for (auto it = folders_.begin(); it != folders_.end();) {
      if (it->second == top || it->second.native().starts_with(below)) {
        ::inotify_rm_watch(fd_.get(), it->first);
        it = folders_.erase(it);
      } else {
        ++it;
      }
    }
  }

  void warn(std::string text) {
    if (std::exchange(warned_, true)) return;
    warning_ = std::move(text) + "; changes in the others are not noticed";
  }

  Fd fd_;
  std::vector<Path> roots_;
  std::size_t max_folders_;
  std::unordered_map<int, Path> folders_;  // by watch descriptor
  bool warned_ = false;
  std::string warning_;
};

}  // namespace

Result<std::unique_ptr<FolderWatch>> FolderWatch::create(std::vector<Path> folders,
                                                         std::size_t max_folders) {
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) {
    return fail_os("cannot watch folders", errno)
        .hint("raise fs.inotify.max_user_instances, or the limit of open files");
  }
  auto watch = std::make_unique<InotifyWatch>(std::move(fd), std::move(folders), max_folders);
  CORRAL_CHECK(watch->begin());
  return watch;
}

}  // namespace corral::sys

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <set>
#include <string>

#include "base/text.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/ports.hpp"
#include "sys/process_linux.hpp"

namespace corral::sys {
namespace {

// Inodes of the sockets that listen on 127.0.0.1:port (or 0.0.0.0:port), by /proc/net/tcp: slot,
// local address, remote address, state (0A: listening), queues, timer, retransmits, uid, timeout,
// inode. Addresses are hexadecimal in the machine's byte order.
std::optional<std::set<std::string>> listening_inodes(std::uint16_t port) {
  std::ifstream table("/proc/net/tcp");
  if (!table) return std::nullopt;
  char loopback[16];
  char any[16];
  std::snprintf(loopback, sizeof loopback, "%08X:%04X", htonl(INADDR_LOOPBACK), port);
  std::snprintf(any, sizeof any, "00000000:%04X", port);
  std::set<std::string> inodes;
  std::string line;
  while (std::getline(table, line)) {
    std::vector<std::string_view> fields;
    for (std::string_view field : split(line, ' '))
      if (!field.empty()) fields.push_back(field);
    if (fields.size() < 10 || fields[3] != "0A") continue;
    if (fields[1] == loopback || fields[1] == any) inodes.emplace(fields[9]);
  }
  return inodes;
}

bool holds_socket(const std::string& pid, const std::set<std::string>& inodes) {
  std::string folder = "/proc/" + pid + "/fd";
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir) return false;
  while (const dirent* entry = ::readdir(dir.get())) {
    char target[64];
    ssize_t size = ::readlinkat(::dirfd(dir.get()), entry->d_name, target, sizeof target);
    std::string_view text(target, size > 0 ? static_cast<std::size_t>(size) : 0);
    if (!text.starts_with("socket:[") || !text.ends_with(']')) continue;
    if (inodes.contains(std::string(text.substr(8, text.size() - 9)))) return true;
  }
  return false;
}

}  // namespace

Result<std::uint16_t> free_loopback_port() {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!socket.valid() || ::bind(socket.get(), generic, size) != 0 ||
      ::getsockname(socket.get(), generic, &size) != 0)
    return fail_os("cannot find a free port on 127.0.0.1", errno);
  return ntohs(address.sin_port);
}

std::optional<bool> group_listens_on(int group, std::uint16_t port) {
  auto inodes = listening_inodes(port);
  if (!inodes) return std::nullopt;
  if (inodes->empty()) return false;
  // Nearly always it is the leader itself; else, behind a wrapper script, somebody in its group.
  if (holds_socket(std::to_string(group), *inodes)) return true;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir("/proc"), ::closedir);
  if (!dir) return std::nullopt;
  while (const dirent* entry = ::readdir(dir.get())) {
    auto pid = parse_int(entry->d_name);
    if (!pid || *pid == group || ::getpgid(static_cast<pid_t>(*pid)) != group) continue;
    if (holds_socket(entry->d_name, *inodes)) return true;
  }
  return false;
}

}  // namespace corral::sys

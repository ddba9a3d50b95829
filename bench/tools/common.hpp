// What the benchmark tools share: time, sockets, flags.
//
// Thread rule: free functions and plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// Nanoseconds of the monotonic clock, the same for all processes of a machine.
std::int64_t now_ns();

[[noreturn]] void die(std::string_view what);  // with errno's text

// As many open files as the hard limit allows.
void raise_file_limit();
// Timers fire when they are due, not up to 50 us later.
void sharpen_timers();

// A listening socket on 127.0.0.1; several may share a port. Port 0 picks one.
int listen_on(std::uint16_t port);
std::uint16_t port_of(int fd);
// A non-blocking socket that connects, or -1.
int connect_to(std::uint16_t port);
void set_no_delay(int fd);

// --name value, --name=value and --name alone (which is "1").
class Flags {
 public:
  Flags(int argc, char** argv);
  long number(std::string_view name, long otherwise) const;
  double real(std::string_view name, double otherwise) const;
  std::string text(std::string_view name, std::string_view otherwise) const;
  bool on(std::string_view name) const;
  const std::vector<std::string>& words() const { return words_; }
  // Ends the program when a flag is not among `known`.
  void only(std::vector<std::string_view> known) const;

 private:
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> words_;
};

}  // namespace bench

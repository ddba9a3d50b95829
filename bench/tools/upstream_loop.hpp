// One thread of the fake upstream: a listener, its connections, and the clock that paces streams.
//
// Thread rule: made and used in one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bench {

struct Script {
  unsigned tokens = 100;
  std::int64_t gap_ns = 50'000'000;  // between tokens; 0: all at once
  std::int64_t delay_ns = 0;         // before the first
  bool close_streams = false;        // close the connection after a stream
};

class UpstreamLoop {
 public:
  UpstreamLoop(int listener, Script script);
  [[noreturn]] void run();

 private:
  struct Connection {
    int fd = -1;
    std::uint64_t serial = 0;  // tells a new connection from an old one with the same number
    std::string in;
    std::string out;
    bool wants_write = false;
    bool streaming = false;
    bool closing = false;  // once `out` is empty
    unsigned next_token = 0;
  };
  struct Due {
    std::int64_t at;
    int fd;
    std::uint64_t serial;
    bool operator>(const Due& other) const { return at > other.at; }
  };

  void accept_all();
  void readable(Connection& c);
  bool serve_one(Connection& c);  // false: no whole request is there
  void answer(Connection& c, std::string_view head, std::string_view body);
  void begin_stream(Connection& c);
  void send_token(Connection& c, std::int64_t now);
  void end_stream(Connection& c);
  void send_due(std::int64_t now);
  void flush(Connection& c);
  void drop(Connection& c);

  int listener_;
  int epoll_;
  Script script_;
  std::uint64_t serial_ = 0;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> dropped_;  // freed after the round they ended in
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

}  // namespace bench

// One thread of the fake upstream: a listener, its connections, and the clock that paces streams;
// with a control listener, also the faults of upstream_faults.hpp and the counts of what came.
//
// Thread rule: made and used in one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "upstream_faults.hpp"
#include "upstream_plan.hpp"

namespace bench {

struct Script {
  unsigned tokens = 100;
  std::int64_t gap_ns = 50'000'000;  // between tokens; 0: all at once
  std::int64_t delay_ns = 0;         // before the first
  bool close_streams = false;        // close the connection after a stream
};

// What came so far.
struct Counts {
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;
  std::uint64_t answered = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t faulted = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t most_in_flight = 0;
  // By second of the monotonic clock: connections, requests.
  std::map<std::int64_t, std::pair<std::uint64_t, std::uint64_t>> per_second;

  std::string json() const;
};

class UpstreamLoop {
 public:
  // `control`: a listener for faults and counts, or -1.
  UpstreamLoop(int listener, int control, Script script);
  [[noreturn]] void run();

 private:
  struct Connection {
    int fd = -1;
    std::uint64_t serial = 0;  // tells a new connection from an old one with the same number
    std::string in;
    std::string out;
    bool control = false;
    bool wants_write = false;
    bool streaming = false;  // an answer takes time: what follows it waits
    bool in_flight = false;
    bool closing = false;  // once `out` is empty
    bool resetting = false;
    unsigned next_token = 0;
    std::unique_ptr<FaultyAnswer> faulty;
  };
  struct Due {
    std::int64_t at;
    int fd;  // -1: the faults' own end
    std::uint64_t serial;
    bool operator>(const Due& other) const { return at > other.at; }
  };
  struct Request {
    std::string_view head;
    std::string_view path;
    std::string_view body;
  };

  void watch(int fd);
  void accept_all(int listener);
  void readable(Connection& c);
  bool serve_one(Connection& c);  // false: no whole request is there
  void serve(Connection& c, const Request& request);
  void serve_control(Connection& c, const Request& request);
  void begin_faulty(Connection& c, const Request& request, std::string_view whole, bool stream);
  void step_faulty(Connection& c, std::int64_t now);
  void set_faults(Faults faults);
  void go_dark();
  void answer(Connection& c, std::string_view head, std::string_view body);
  void begin_stream(Connection& c, unsigned first);
  void send_due(std::int64_t now);
  void send_tokens(Connection& c, const Due& due, std::int64_t now);
  void begun(Connection& c);
  void over(Connection& c);
  void flush(Connection& c);
  void drop(Connection& c);

  int listener_;
  int control_;
  int epoll_;
  Script script_;
  FaultBook book_;
  std::uint64_t faults_serial_ = 0;
  Counts counts_;
  std::mt19937_64 random_{1};
  std::uint64_t serial_ = 0;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> dropped_;  // freed after the round they ended in
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

}  // namespace bench

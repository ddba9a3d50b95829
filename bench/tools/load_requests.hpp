// Short requests over connections that are kept: as fast as they are answered (closed loop), or at
// a rate (open loop).
//
// Thread rule: made and used in one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "load_http.hpp"

namespace bench {

struct RequestPlan {
  std::uint16_t port = 0;
  unsigned connections = 32;
  double rate = 0;     // requests a second; 0: closed loop
  double warm_up = 1;  // seconds that do not count
  double seconds = 5;
  std::size_t bytes = 1024;
  std::string model = "bench-model";
};

class RequestLoad {
 public:
  explicit RequestLoad(RequestPlan plan);
  // Prints one JSON object.
  void run();

 private:
  struct Connection {
    int fd = -1;
    bool busy = false;
    std::int64_t begun = 0;
    std::size_t sent = 0;
    AnswerParser answer;
  };

  void open(Connection& c);
  void start(Connection& c, std::int64_t begun);
  void push(Connection& c);
  void readable(Connection& c);
  void finish(Connection& c, bool good);
  void spend_due(std::int64_t now);
  void next(Connection& c);

  RequestPlan plan_;
  std::string request_;
  int epoll_;
  std::vector<Connection> connections_;
  std::vector<Connection*> idle_;
  std::deque<std::int64_t> waiting_;  // intended times of requests that found no free connection
  std::int64_t counting_from_ = 0;
  std::int64_t end_ = 0;
  std::int64_t next_due_ = 0;
  std::int64_t gap_ = 0;
  bool stopped_ = false;
  std::size_t good_ = 0;
  std::size_t errors_ = 0;
  Samples latency_;
};

}  // namespace bench

// Streams at once: each must bring every token, once, in order, and soon.
//
// Thread rule: made and used in one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "load_http.hpp"

namespace bench {

struct StreamPlan {
  std::uint16_t port = 0;
  unsigned streams = 100;
  double ramp = 2;        // seconds over which they begin
  unsigned tokens = 100;  // that each must bring
  double patience = 60;   // seconds after the ramp until what is not done has failed
  std::size_t bytes = 1024;
  std::string model = "bench-model";
  std::string out;  // a file for milliseconds of begin and first token of each stream
};

// What one stream brought so far, read from its server-sent events.
class StreamReader {
 public:
  // `now` is when the bytes came.
  void feed(std::string_view body, std::int64_t now);

  std::int64_t first_token = 0;  // when; 0: not yet
  unsigned received = 0;
  unsigned contents = 0;  // events with text of any kind
  unsigned out_of_order = 0;
  bool ended = false;  // data: [DONE]
  bool error_event = false;
  Samples delay;  // from the upstream's send to here
  Samples gap;    // between tokens

 private:
  void event(std::string_view line, std::int64_t now);
  std::string partial_;
  std::int64_t last_token_ = 0;
};

class StreamLoad {
 public:
  explicit StreamLoad(StreamPlan plan);
  void run();  // prints one JSON object

 private:
  struct Stream {
    int fd = -1;
    bool begun = false;
    bool over = false;
    std::int64_t intended = 0;
    std::size_t sent = 0;
    AnswerParser answer;
    StreamReader reader;
  };

  void begin(Stream& s);
  void push(Stream& s);
  void readable(Stream& s);
  void finish(Stream& s);
  void report();
  void write_first_tokens();

  StreamPlan plan_;
  std::string request_;
  int epoll_;
  std::vector<Stream> streams_;
  std::size_t open_ = 0;
  std::size_t peak_ = 0;
  std::size_t over_ = 0;
};

// One stream after another from a real model: tokens a second of each, as JSON.
void run_single(std::uint16_t port, const std::string& model, unsigned tokens, unsigned runs);

}  // namespace bench

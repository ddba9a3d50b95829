// The two ways in which the Docker Engine streams: JSON objects one after the other, and the log of
// a container as frames that carry standard output and error. Pieces may be cut anywhere.
// Thread rule: one owner.
// Example:
//   FrameSplitter frames;
//   CORRAL_CHECK(frames.feed(bytes, [&](LogStream from, std::string_view text) { ... }));
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::engines::docker {

// Objects at the top level, whatever stands between them (Docker ends lines, Podman may not).
// too_large for one longer than kLongest, upstream for what is no object.
class JsonStream {
 public:
  static constexpr std::size_t kLongest = 256 * 1024;
  using Sink = std::function<Result<void>(std::string_view object)>;

  Result<void> feed(std::string_view bytes, const Sink& sink);
  bool between() const { return depth_ == 0; }  // no object is half read

 private:
  std::string object_;
  std::size_t depth_ = 0;
  bool in_text_ = false;
  bool escaped_ = false;
};

enum class LogStream { out, err };

// "application/vnd.docker.multiplexed-stream": 8 bytes of head (stream, three zeros, length big
// endian), then so many bytes. What a container with a terminal writes has no frames; ours have
// none. The length is believed only as far as bytes really come.
class FrameSplitter {
 public:
  using Sink = std::function<void(LogStream from, std::string_view text)>;

  // upstream: the head is none.
  Result<void> feed(std::string_view bytes, const Sink& sink);

 private:
  static constexpr std::size_t kHead = 8;
  std::string head_;
  std::uint32_t left_ = 0;  // of the frame under way
  LogStream from_ = LogStream::out;
};

}  // namespace corral::engines::docker

#include "engines/docker/docker_streams.hpp"

#include <algorithm>

namespace corral::engines::docker {

Result<void> JsonStream::feed(std::string_view bytes, const Sink& sink) {
  for (char c : bytes) {
    if (depth_ == 0) {
      if (c == '{') {
        object_.assign(1, c);
        depth_ = 1;
      } else if (static_cast<unsigned char>(c) > ' ') {
        return fail(ErrorCode::upstream, "the Docker Engine streamed something that is no JSON");
      }
      continue;
    }
    if (object_.size() >= kLongest) {
      return fail(ErrorCode::too_large, "the Docker Engine streamed an object without an end");
    }
    object_ += c;
    if (in_text_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_text_ = false;
      }
      continue;
    }
    if (c == '"') in_text_ = true;
    if (c == '{' || c == '[') ++depth_;
    if ((c == '}' || c == ']') && --depth_ == 0) CORRAL_CHECK(sink(object_));
  }
  return {};
}

Result<void> FrameSplitter::feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      auto piece = bytes.substr(0, std::min<std::size_t>(left_, bytes.size()));
      sink(from_, piece);
      left_ -= static_cast<std::uint32_t>(piece.size());
      bytes.remove_prefix(piece.size());
      continue;
    }
    auto missing = std::min(kHead - head_.size(), bytes.size());
    head_.append(bytes.substr(0, missing));
    bytes.remove_prefix(missing);
    if (head_.size() < kHead) return {};
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(head_[i]); };
    if (byte(0) > 2 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0) {
      return fail(ErrorCode::upstream, "the log of the container has no frames")
          .hint("was it made with a terminal (tty)?");
    }
    from_ = byte(0) == 2 ? LogStream::err : LogStream::out;
    left_ = std::uint32_t{byte(4)} << 24 | std::uint32_t{byte(5)} << 16 |
            std::uint32_t{byte(6)} << 8 | std::uint32_t{byte(7)};
    head_.clear();
  }
  return {};
}

}  // namespace corral::engines::docker

// The server side of a WebSocket (RFC 6455), over any stream, with permessage-deflate bounded in
// memory. Thread rule: belongs to its shard; one reader and one writer at a time.
#pragma once

#include <string>
#include <string_view>

#include "net/task.hpp"

namespace corral::net {

class WebSocket {
 public:
  virtual ~WebSocket() = default;
  struct Message {
    bool text = true;
    std::string data;
  };
  // The next message (at most 1 MiB); `cancelled` when the peer closed or left.
  virtual Task<Result<Message>> receive() = 0;
  virtual Task<Result<void>> send_text(std::string_view text) = 0;
  virtual Task<void> close(std::uint16_t code, std::string_view reason) = 0;
};

}  // namespace corral::net

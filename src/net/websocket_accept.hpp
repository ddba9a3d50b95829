// How the HTTP server hands a connection over to the WebSocket; for src/net only.
#pragma once

#include <memory>
#include <string>

#include "net/http_server.hpp"
#include "net/stream.hpp"
#include "net/task.hpp"
#include "net/websocket.hpp"

namespace corral::net {

// Checks the upgrade request, answers 101 and returns the WebSocket; `early_bytes` were read after
// the request's head already. invalid_argument when it is no proper WebSocket request: nothing was
// sent then, and `stream` is closed.
Task<Result<std::unique_ptr<WebSocket>>> accept_websocket(std::unique_ptr<Stream> stream,
                                                          const HttpRequest& request,
                                                          std::string early_bytes);

}  // namespace corral::net

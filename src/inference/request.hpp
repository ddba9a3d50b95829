// The canonical request: what every surface decodes to and every binding encodes from.
//
// A surface that speaks the same dialect as the binding leaves the body as it came: `body` is
// relayed with a few fields rewritten in place (`spans` says where they stand), never re-made.
// Thread rule: plain values; `body` is owned by the exchange and outlives the request.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace corral::inference {

enum class Operation { chat, completion, embedding };
std::string_view to_string(Operation operation);

// The wire dialect that `body` is written in. Bindings that speak it may relay the bytes.
enum class Dialect { openai };

// A piece of `body`: a JSON value at the top level. Empty when the key is not there.
struct Span {
  std::size_t begin = 0;
  std::size_t size = 0;
  bool present() const { return size != 0; }
};

struct BodySpans {
  Span model;  // with its quotes
  Span stream;
  Span stream_options;
  Span return_progress;
  std::size_t insert_at = 0;  // just behind the opening brace
  bool empty_object = false;  // nothing follows the opening brace
};

struct Request {
  Operation operation = Operation::chat;
  ModelName model;            // the public name, as asked for
  std::string backend_model;  // the name at the endpoint; filled in by the gateway
  bool stream = false;
  bool usage_in_stream = false;  // the client asked for a usage event
  bool wants_progress = false;   // the client asked for prefill progress events itself
  std::string user;              // the client's end-user id; may be empty
  std::string request_id;

  Dialect dialect = Dialect::openai;
  std::string_view body;
  BodySpans spans;
};

}  // namespace corral::inference

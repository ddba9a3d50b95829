// The canonical request: what every surface decodes to and every binding encodes from.
//
// A surface that speaks the same dialect as the binding leaves the body as it came: `body` is
// relayed with a few fields rewritten in place, never re-made.
// Thread rule: plain values; `body` is owned by the exchange and outlives the request.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"

namespace corral::inference {

enum class Operation { chat, completion, embedding };
std::string_view to_string(Operation operation);

// The wire dialect that `body` is written in. Bindings that speak it may relay the bytes.
enum class Dialect { openai };

// A value that a route gives to requests which do not set it.
struct DefaultParameter {
  std::string name;
  std::string json;  // the value as JSON text
};
using DefaultParameters = std::vector<DefaultParameter>;

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
  std::shared_ptr<const DefaultParameters> defaults;  // filled in by the gateway; may be null
};

}  // namespace corral::inference

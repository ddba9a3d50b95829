// A running Corral server as the commands see it: its admin routes and its OpenAI chat route.
//
// `ServerWire` carries one HTTP exchange and is what tests replace; `ServerApi` knows the routes,
// turns the server's error documents (RFC 9457 problem+json, OpenAI's {"error":{}}) into failures
// with an exit code, and reads the event stream of an answer.
// Thread rule: one thread; calls block until the exchange ends or Ctrl-C cuts it.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cli/outcome.hpp"

namespace corral::cli {

struct WireRequest {
  std::string method = "GET";
  std::string path;
  std::string body;           // empty for none
  bool event_stream = false;  // the answer may be one
  std::string content_type = "application/json";
  bool only_new = false;  // If-None-Match: *, nothing is to be replaced
};

struct WireAnswer {
  int status = 0;
  std::string content_type;
  std::string body;  // empty when it went to the sink
};

class ServerWire {
 public:
  virtual ~ServerWire() = default;
  // Bytes of a text/event-stream answer with status 200 go to `sink` as they come, when it was
  // asked for; a sink that returns false ends the exchange there. Any other body is in the answer.
  // Fails with exit `unreachable` when no server answers and `interrupted` on Ctrl-C.
  using Sink = std::function<bool(std::string_view bytes)>;
  virtual Outcome<WireAnswer> exchange(const WireRequest& request, const Sink& sink) = 0;
  virtual std::string server() const = 0;  // its address, for people
};

// A piece of an answer under way.
struct ChatPiece {
  std::string_view content;
  std::string_view reasoning;
};

struct ChatEnd {
  std::string finish_reason;  // "stop", "length", "tool_calls", ...
};

// What administrators make, change and remove.
enum class Resource { endpoint, route };
enum class Put { fresh, replace };

class ServerApi {
 public:
  explicit ServerApi(ServerWire& wire) : wire_(wire) {}

  // Bodies are returned as the server sent them.
  // All of them, page by page; with `search`, those whose name holds it.
  Outcome<std::string> models(std::string_view search = {});
  Outcome<std::string> model(std::string_view name);
  // Of models in the catalog. `version` 0: the present one, or the one before it for `rollback`.
  Outcome<std::string> model_versions(std::string_view name);
  Outcome<void> remove_model(std::string_view name, std::int64_t version);
  Outcome<std::string> copy_model(std::string_view name, std::string_view to);
  Outcome<std::string> tag_model(std::string_view name, std::string_view to, std::int64_t version);
  Outcome<std::string> rollback_model(std::string_view name, std::int64_t version);
  // Of one model, or of all when `name` is empty: an operation, which may still run.
  // Whether the server waits a few seconds for it to end before it answers.
  enum class Wait { some, none };
  Outcome<std::string> verify(std::string_view name, Wait wait = Wait::some);
  // The model, or the operation that loads it.
  Outcome<std::string> load(std::string_view name, Wait wait = Wait::some);
  // Begins a benchmark: an operation. `options` is a JSON object.
  Outcome<std::string> bench(std::string_view name, std::string options);
  Outcome<std::string> benchmarks(std::string_view name, int limit);
  Outcome<void> forget_tuned(std::string_view name);
  Outcome<std::string> unload(std::string_view name);
  Outcome<std::string> instances();
  Outcome<std::string> scaling();
  Outcome<std::string> operation(std::string_view id);
  Outcome<std::string> resources(Resource kind);
  Outcome<std::string> resource(Resource kind, std::string_view name);
  // `text` is JSON or YAML. `fresh` fails when there is one of that name already.
  Outcome<std::string> put_resource(Resource kind, std::string_view name, std::string text,
                                    Put how);
  Outcome<void> remove_resource(Resource kind, std::string_view name);
  // Breakers by hand, "open" or "close": of one model there, or of all when `model` is empty.
  Outcome<std::string> set_breakers(std::string_view endpoint, std::string_view action,
                                    std::string_view model);
  Outcome<std::string> explain(std::string_view name);
  // `name` empty: as the source calls it.
  Outcome<std::string> pull(std::string_view reference, std::string_view name);
  Outcome<std::string> pull_plan(std::string_view reference);
  Outcome<std::string> search(std::string_view words);
  Outcome<std::string> containers();
  Outcome<std::string> container_logs(std::string_view name, std::int64_t tail);
  Outcome<std::string> act_on_container(std::string_view name, std::string_view action);
  Outcome<std::string> sources();
  Outcome<std::string> source_names();  // the same, but none of them is asked whether it answers
  Outcome<std::string> source_info(std::string_view reference);
  // `from` empty: what is near, and with words the hubs too.
  Outcome<std::string> recommendations(std::string_view words, std::string_view from);
  Outcome<std::string> sync(const boost::json::object& wish);
  Outcome<std::string> operations();
  Outcome<std::string> act_on_operation(std::string_view id, std::string_view action);
  // The bytes of its event stream, until it ends or `sink` has enough.
  Outcome<void> watch_operation(std::string_view id, const ServerWire::Sink& sink);
  // One whole chat completion.
  Outcome<std::string> chat(const boost::json::object& request);
  // The same as a stream; `request` gets "stream": true.
  using PieceHandler = std::function<void(const ChatPiece&)>;
  Outcome<ChatEnd> stream_chat(const boost::json::object& request, const PieceHandler& on_piece);

 private:
  Outcome<std::string> call(std::string method, std::string path, std::string body = {});
  Outcome<std::string> checked(WireAnswer answer) const;

  ServerWire& wire_;
};

// One path segment (RFC 3986: all but unreserved characters are escaped).
std::string encode_segment(std::string_view text);

// What an answer with an error status means.
Failure failure_of(const WireAnswer& answer, std::string_view server);

struct ServerAddress {
  std::string url;      // http://host:port, https://..., unix:/path
  std::string api_key;  // empty: none
};

// Over net::HttpClient. invalid_argument (exit usage) when the address cannot be read.
Outcome<std::unique_ptr<ServerWire>> http_wire(const ServerAddress& address);

}  // namespace corral::cli

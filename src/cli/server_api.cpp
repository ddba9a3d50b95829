#include "cli/server_api.hpp"

#include <fmt/core.h>

#include "base/json.hpp"
#include "base/percent.hpp"
#include "cli/json_view.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::string_view kModels = "/admin/v1/models";

std::string model_path(std::string_view name, std::string_view action = {}) {
  return fmt::format("{}/{}{}", kModels, encode_segment(name), action);
}

std::string resource_path(Resource kind, std::string_view name = {}) {
  std::string_view kinds = kind == Resource::endpoint ? "endpoints" : "routes";
  if (name.empty()) return fmt::format("/admin/v1/{}", kinds);
  return fmt::format("/admin/v1/{}/{}", kinds, encode_segment(name));
}

std::string wait_query(ServerApi::Wait wait) {
  return wait == ServerApi::Wait::none ? "?wait=0" : "";
}

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, 500));
  for (char& c : out) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return out;
}

// Whether a refusal says that another version is there, and not that the name is taken otherwise.
bool about_version(std::string_view body) {
  auto parsed = corral::json::parse(body);
  return parsed && text_of(*parsed, "param") == "version";
}

// What the stream of one answer has said so far.
struct ChatStream {
  net::SseParser parser;
  ChatEnd end;
  bool done = false;
  std::optional<Failure> failed;

  // False when there is nothing more to read.
  bool take(std::string_view bytes, const ServerApi::PieceHandler& on_piece);
  bool take_event(std::string_view data, const ServerApi::PieceHandler& on_piece);
};

bool ChatStream::take(std::string_view bytes, const ServerApi::PieceHandler& on_piece) {
  parser.feed(bytes);
  while (true) {
    auto event = parser.next();
    if (!event) {
      failed = Failure{ExitCode::failed, event.error().message, event.error().hint_text};
      return false;
    }
    if (*event == nullptr) return true;
    if (!take_event((*event)->data, on_piece)) return false;
  }
}

bool ChatStream::take_event(std::string_view data, const ServerApi::PieceHandler& on_piece) {
  if (data == "[DONE]") {
    done = true;
    return false;
  }
  auto parsed = corral::json::parse(data);
  if (!parsed) {
    failed = Failure{ExitCode::failed, "the server sent an event that is not JSON",
                     parsed.error().message};
    return false;
  }
  if (const json::value* error = member(*parsed, "error")) {
    std::string_view message = text_of(*error, "message");
    failed = Failure{
        ExitCode::failed, message.empty() ? "the answer failed midway" : one_line(message), {}};
    return false;
  }
  const json::array& choices = list_of(*parsed, "choices");
  if (choices.empty()) return true;
  if (const json::value* delta = member(choices[0], "delta")) {
    ChatPiece piece{text_of(*delta, "content"), text_of(*delta, "reasoning_content")};
    if (!piece.content.empty() || !piece.reasoning.empty()) on_piece(piece);
  }
  if (auto reason = text_of(choices[0], "finish_reason"); !reason.empty()) {
    end.finish_reason = reason;
  }
  return true;
}

}  // namespace

std::string encode_segment(std::string_view text) {
  std::string out = percent_encode(text);
  // "." and ".." alone would be taken as steps through the path.
  if (out == ".") return "%2E";
  if (out == "..") return "%2E%2E";
  return out;
}

Failure failure_of(const WireAnswer& answer, std::string_view server) {
  std::string message;
  std::string hint;
  if (auto parsed = corral::json::parse(answer.body)) {
    if (const json::value* error = member(*parsed, "error")) {
      message = error->is_string() ? error->get_string().c_str() : text_of(*error, "message");
      hint = text_of(*error, "hint");
    } else {
      message = text_of(*parsed, "detail");
      if (message.empty()) message = text_of(*parsed, "title");
      hint = text_of(*parsed, "hint");
    }
  }
  bool understood = !message.empty();
  if (!understood) message = fmt::format("{} answered with status {}", server, answer.status);
  if (hint.empty() && answer.status == 401) {
    hint = "give the key with --api-key-file FILE or in CORRAL_API_KEY";
  } else if (hint.empty() && !understood) {
    hint = "is this a Corral server? Choose another with --server URL";
  }
  bool missing = understood && answer.status == 404;
  return {missing ? ExitCode::not_found : ExitCode::failed, one_line(message), one_line(hint)};
}

Outcome<std::string> ServerApi::call(std::string method, std::string path, std::string body) {
  WireRequest request{
      .method = std::move(method), .path = std::move(path), .body = std::move(body)};
  CORRAL_TRY(WireAnswer answer, wire_.exchange(request, nullptr));
  return checked(std::move(answer));
}

Outcome<std::string> ServerApi::checked(WireAnswer answer) const {
  if (answer.status < 200 || answer.status > 299) {
    return std::unexpected(failure_of(answer, wire_.server()));
  }
  bool nothing = answer.status == 204;
  if (!nothing && !corral::json::parse(answer.body)) {
    return failure(ExitCode::failed,
                   fmt::format("{} answered with something else than JSON", wire_.server()),
                   "is this a Corral server? Choose another with --server URL");
  }
  return std::move(answer.body);
}

Outcome<std::string> ServerApi::models(std::string_view search) {
  std::string filter = search.empty() ? "" : "?search=" + encode_segment(search);
  CORRAL_TRY(std::string first, call("GET", std::string(kModels) + filter));
  json::value document = parse_or_null(first);
  std::string after(text_of(document, "next"));
  if (after.empty()) return first;
  json::object& whole = document.as_object();
  json::array models = list_of(document, "models");
  while (!after.empty()) {
    CORRAL_TRY(std::string body,
               call("GET", fmt::format("{}?limit=1000{}&after={}", kModels,
                                       search.empty() ? "" : "&search=" + encode_segment(search),
                                       encode_segment(after))));
    json::value page = parse_or_null(body);
    for (const json::value& model : list_of(page, "models")) models.push_back(model);
    std::string next(text_of(page, "next"));
    // A server that leads in a circle would never end.
    after = next > after ? std::move(next) : std::string();
  }
  whole["models"] = std::move(models);
  whole["next"] = nullptr;
  return corral::json::serialize(document);
}

namespace {

std::string wish_body(std::string_view name, std::int64_t version) {
  json::object body;
  if (!name.empty()) body["name"] = name;
  if (version > 0) body["version"] = version;
  return corral::json::serialize(json::value(body));
}

}  // namespace

Outcome<std::string> ServerApi::model_versions(std::string_view name) {
  return call("GET", model_path(name, "/versions"));
}
Outcome<void> ServerApi::remove_model(std::string_view name, std::int64_t version) {
  std::string only = version > 0 ? fmt::format("?version={}", version) : "";
  CORRAL_TRY(std::string none, call("DELETE", model_path(name) + only));
  (void)none;
  return {};
}
Outcome<std::string> ServerApi::copy_model(std::string_view name, std::string_view to) {
  return call("POST", model_path(name, "/copy"), wish_body(to, 0));
}
Outcome<std::string> ServerApi::tag_model(std::string_view name, std::string_view to,
                                          std::int64_t version) {
  return call("POST", model_path(name, "/tag"), wish_body(to, version));
}
Outcome<std::string> ServerApi::rollback_model(std::string_view name, std::int64_t version) {
  return call("POST", model_path(name, "/rollback"), wish_body({}, version));
}
Outcome<std::string> ServerApi::verify(std::string_view name, Wait wait) {
  std::string path = name.empty() ? "/admin/v1/verify" : model_path(name, "/verify");
  return call("POST", path + wait_query(wait));
}
Outcome<std::string> ServerApi::model(std::string_view name) {
  return call("GET", model_path(name));
}
Outcome<std::string> ServerApi::bench(std::string_view name, std::string options) {
  return call("POST", model_path(name, "/bench"), std::move(options));
}
Outcome<std::string> ServerApi::benchmarks(std::string_view name, int limit) {
  return call("GET", model_path(name, fmt::format("/benchmarks?limit={}", limit)));
}
Outcome<void> ServerApi::forget_tuned(std::string_view name) {
  CORRAL_TRY(std::string none, call("DELETE", model_path(name, "/tuned")));
  (void)none;
  return {};
}
Outcome<std::string> ServerApi::load(std::string_view name, Wait wait) {
  return call("POST", model_path(name, "/load") + wait_query(wait));
}
Outcome<std::string> ServerApi::unload(std::string_view name) {
  return call("POST", model_path(name, "/unload"));
}
Outcome<std::string> ServerApi::operation(std::string_view id) {
  return call("GET", "/admin/v1/operations/" + encode_segment(id));
}
Outcome<std::string> ServerApi::instances() { return call("GET", "/admin/v1/instances"); }
Outcome<std::string> ServerApi::scaling() { return call("GET", "/admin/v1/scaling"); }

Outcome<std::string> ServerApi::resources(Resource kind) {
  return call("GET", resource_path(kind));
}

Outcome<std::string> ServerApi::resource(Resource kind, std::string_view name) {
  return call("GET", resource_path(kind, name));
}

Outcome<std::string> ServerApi::put_resource(Resource kind, std::string_view name, std::string text,
                                             Put how) {
  // JSON is YAML too, and the server tells them apart.
  WireRequest request{.method = "PUT",
                      .path = resource_path(kind, name),
                      .body = std::move(text),
                      .content_type = "application/yaml",
                      .only_new = how == Put::fresh};
  CORRAL_TRY(WireAnswer answer, wire_.exchange(request, nullptr));
  bool there = how == Put::fresh && answer.status == 409 && about_version(answer.body);
  auto done = checked(std::move(answer));
  if (!done && there) done.error().hint = "--replace puts yours in its place";
  return done;
}

Outcome<void> ServerApi::remove_resource(Resource kind, std::string_view name) {
  CORRAL_TRY(std::string none, call("DELETE", resource_path(kind, name)));
  (void)none;
  return {};
}

Outcome<std::string> ServerApi::set_breakers(std::string_view endpoint, std::string_view action,
                                             std::string_view model) {
  json::object body{{"action", action}};
  if (!model.empty()) body["model"] = model;
  return call("POST", resource_path(Resource::endpoint, endpoint) + "/breaker",
              corral::json::serialize(json::value(body)));
}

Outcome<std::string> ServerApi::explain(std::string_view name) {
  return call("GET", "/admin/v1/explain/" + encode_segment(name));
}

Outcome<std::string> ServerApi::sources() { return call("GET", "/admin/v1/sources"); }

Outcome<std::string> ServerApi::source_names() {
  return call("GET", "/admin/v1/sources?ask=nobody");
}

Outcome<std::string> ServerApi::source_info(std::string_view reference) {
  return call("GET", "/admin/v1/sources/info?reference=" + encode_segment(reference));
}

Outcome<std::string> ServerApi::recommendations(std::string_view words, std::string_view from) {
  return call("GET", fmt::format("/admin/v1/models/recommendations?q={}&from={}",
                                 encode_segment(words), encode_segment(from)));
}

Outcome<std::string> ServerApi::sync(const json::object& wish) {
  return call("POST", "/admin/v1/sync", corral::json::serialize(json::value(wish)));
}

Outcome<std::string> ServerApi::pull(std::string_view reference, std::string_view name) {
  json::object body{{"model", reference}};
  if (!name.empty()) body["name"] = name;
  return call("POST", "/admin/v1/pulls", corral::json::serialize(json::value(body)));
}

Outcome<std::string> ServerApi::pull_plan(std::string_view reference) {
  return call("GET", "/admin/v1/pulls/plan?model=" + encode_segment(reference));
}

Outcome<std::string> ServerApi::search(std::string_view words) {
  return call("GET", "/admin/v1/search?q=" + encode_segment(words));
}

Outcome<std::string> ServerApi::containers() { return call("GET", "/admin/v1/containers"); }

Outcome<std::string> ServerApi::container_logs(std::string_view name, std::int64_t tail) {
  return call("GET",
              fmt::format("/admin/v1/containers/{}/logs?tail={}", encode_segment(name), tail));
}

Outcome<std::string> ServerApi::act_on_container(std::string_view name, std::string_view action) {
  return call("POST", fmt::format("/admin/v1/containers/{}/{}", encode_segment(name), action));
}

Outcome<std::string> ServerApi::operations() { return call("GET", "/admin/v1/operations"); }

Outcome<std::string> ServerApi::act_on_operation(std::string_view id, std::string_view action) {
  return call("POST", fmt::format("/admin/v1/operations/{}/{}", encode_segment(id), action));
}

Outcome<void> ServerApi::watch_operation(std::string_view id, const ServerWire::Sink& sink) {
  WireRequest wanted{.path = fmt::format("/admin/v1/operations/{}/events", encode_segment(id)),
                     .event_stream = true};
  CORRAL_TRY(WireAnswer answer, wire_.exchange(wanted, sink));
  if (answer.status < 200 || answer.status > 299) {
    return std::unexpected(failure_of(answer, wire_.server()));
  }
  return {};
}

Outcome<std::string> ServerApi::chat(const json::object& request) {
  return call("POST", "/v1/chat/completions", corral::json::serialize(json::value(request)));
}

Outcome<ChatEnd> ServerApi::stream_chat(const json::object& request, const PieceHandler& on_piece) {
  json::object body = request;
  body["stream"] = true;
  ChatStream stream;
  WireRequest wanted{.method = "POST",
                     .path = "/v1/chat/completions",
                     .body = corral::json::serialize(json::value(body)),
                     .event_stream = true};
  auto sink = [&](std::string_view bytes) { return stream.take(bytes, on_piece); };
  CORRAL_TRY(WireAnswer answer, wire_.exchange(wanted, sink));
  if (answer.status < 200 || answer.status > 299) {
    return std::unexpected(failure_of(answer, wire_.server()));
  }
  if (stream.failed) return std::unexpected(std::move(*stream.failed));
  if (!stream.done && stream.end.finish_reason.empty()) {
    return failure(ExitCode::failed, "the answer was cut short",
                   "the server's log says why; asking again may work");
  }
  return std::move(stream.end);
}

}  // namespace corral::cli

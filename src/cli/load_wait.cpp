#include "cli/load_wait.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "cli/json_view.hpp"
#include "cli/model_name.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t kLongestReason = 60;  // so that the line is one line

// Takes the events of the operation that loads it.
class LoadWatch {
 public:
  LoadWatch(Context& context, std::string what) : context_(context), what_(std::move(what)) {
    if (context_.console.err_is_terminal()) context_.console.err(render_load(what_, nullptr));
  }

  bool take(std::string_view bytes) {
    parser_.feed(bytes);
    for (;;) {
      auto event = parser_.next();
      if (!event) return false;
      if (*event == nullptr) return true;
      last_ = parse_or_null((*event)->data);
      if (text_of(last_, "state") != "running") return false;
      if (context_.console.err_is_terminal()) {
        context_.console.err(std::string(kToLineStart) + render_load(what_, last_));
      }
    }
  }
  // The line goes away when all is well; else it stays, and the error follows.
  void end_line(bool well) {
    if (context_.console.err_is_terminal()) context_.console.err(well ? kToLineStart : "\n");
  }
  const json::value& last() const { return last_; }

 private:
  Context& context_;
  std::string what_;
  net::SseParser parser_;
  json::value last_;
};

}  // namespace

std::string render_load(std::string_view what, const json::value& operation) {
  std::string text = fmt::format("loading {} ...", safe_line(what));
  if (text_of(operation, "stage") == "waiting for room") {
    std::string why = safe_line(text_of(operation, "detail").substr(0, kLongestReason));
    return text + (why.empty() ? " (waiting for room)" : " (waiting for room: " + why + ")");
  }
  auto elapsed = count_of(operation, "elapsed_seconds");
  auto left = count_of(operation, "remaining_seconds");
  if (!elapsed) return text;
  text += fmt::format(" ({} s", *elapsed);
  if (left) text += fmt::format(" of about {}", *elapsed + *left);
  return text + ")";
}

namespace {

// Loads the model `name`. `what` is it for people: "llama (4.1 GiB)".
Outcome<void> load_and_show(Context& context, std::string_view name, std::string what) {
  LoadWatch watch(context, std::move(what));
  auto begun = context.api.load(name, ServerApi::Wait::none);
  if (!begun) {
    watch.end_line(false);
    return std::unexpected(std::move(begun.error()));
  }
  std::string id(text_of(parse_or_null(*begun), "id"));
  if (id.empty()) {  // it was loaded already
    watch.end_line(true);
    return {};
  }
  auto done = context.api.watch_operation(id, [&](std::string_view b) { return watch.take(b); });
  bool well = done && text_of(watch.last(), "state") == "succeeded";
  watch.end_line(well);
  if (well) return {};
  if (!done) return std::unexpected(std::move(done.error()));
  std::string error(text_of(watch.last(), "error"));
  return failure(ExitCode::failed,
                 error.empty() ? "the server ended the stream of events early" : std::move(error));
}

Outcome<void> begin_load(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, by_any_name(context, options.model, [&](const std::string& name) {
               return context.api.load(name, ServerApi::Wait::none);
             }));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value answer = parse_or_null(body);
  std::string name = safe_line(options.model);
  std::string_view id = text_of(answer, "id");
  context.console.out(id.empty()
                          ? fmt::format("{} is {}\n", name, safe_line(text_of(answer, "state")))
                          : fmt::format("{} is loading; to watch it: corral operations watch {}\n",
                                        name, safe_line(id)));
  return {};
}

}  // namespace

Outcome<void> prepare_model(Context& context, const std::string& name) {
  CORRAL_TRY(std::string body, describe_model(context, name));
  json::value model = parse_or_null(body);
  if (text_of(model, "source") != "file" || text_of(model, "state") == "ready") return {};
  std::string what = name;
  if (auto bytes = count_of(model, "size_bytes")) what += " (" + format_bytes(*bytes) + ")";
  std::string real_name(text_of(model, "name"));
  return load_and_show(context, real_name.empty() ? name : real_name, std::move(what));
}

Outcome<void> load_model(Context& context, const Options& options) {
  if (options.detach) return begin_load(context, options);
  CORRAL_CHECK(prepare_model(context, options.model));
  CORRAL_TRY(std::string body, describe_model(context, options.model));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value model = parse_or_null(body);
  if (text_of(model, "source") == "endpoint") {
    return failure(
        ExitCode::failed,
        fmt::format("'{}' is at an endpoint that Corral does not run", options.model),
        "there is nothing to load; see where it is with: corral routes explain " + options.model);
  }
  context.console.out(
      fmt::format("{} is {}\n", safe_line(options.model), safe_line(text_of(model, "state"))));
  return {};
}

}  // namespace corral::cli

#include "cli/load_wait.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "cli/json_view.hpp"
#include "net/sse.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t kLongestReason = 60;  // so that the line is one line

// Takes the events of the operation that loads it.
class LoadWatch {
 public:
  LoadWatch(Context& context, std::string_view what) : context_(context), what_(what) {}

  bool take(std::string_view bytes) {
    parser_.feed(bytes);
    for (;;) {
      auto event = parser_.next();
      if (!event) return false;
      if (*event == nullptr) return true;
      last_ = parse_or_null((*event)->data);
      if (text_of(last_, "state") != "running") return false;
      context_.console.err(std::string(kToLineStart) + render_load(what_, last_));
    }
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

Outcome<void> load_and_show(Context& context, std::string_view name, std::string_view what) {
  context.console.err(render_load(what, nullptr));
  auto end_line = [&](bool well) { context.console.err(well ? kToLineStart : "\n"); };
  auto begun = context.api.load(name, ServerApi::Wait::none);
  if (!begun) {
    end_line(false);
    return std::unexpected(std::move(begun.error()));
  }
  std::string id(text_of(parse_or_null(*begun), "id"));
  if (id.empty()) {  // it was loaded already
    end_line(true);
    return {};
  }
  LoadWatch watch(context, what);
  auto done = context.api.watch_operation(id, [&](std::string_view b) { return watch.take(b); });
  bool well = done && text_of(watch.last(), "state") == "succeeded";
  end_line(well);
  if (well) return {};
  if (!done) return std::unexpected(std::move(done.error()));
  std::string error(text_of(watch.last(), "error"));
  return failure(ExitCode::failed,
                 error.empty() ? "the server ended the stream of events early" : std::move(error));
}

}  // namespace corral::cli

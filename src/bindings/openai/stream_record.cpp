#include "bindings/openai/stream_record.hpp"

#include <boost/json.hpp>
#include <vector>

#include "base/json.hpp"
#include "bindings/openai/body_fields.hpp"
#include "bindings/openai/event_splitter.hpp"
#include "bindings/openai/rewrite.hpp"

namespace corral::bindings::openai {
namespace {

namespace bj = boost::json;

std::string_view text_of(const bj::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                : std::string_view{};
}

bool has_value(const bj::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && !value->is_null();
}

const bj::object* object_in(const bj::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr ? value->if_object() : nullptr;
}

// Calls `use(event, data)` for each event.
template <class Use>
void for_each_event(std::string_view events, Use use) {
  EventSplitter splitter;
  if (!splitter.feed(events)) return;
  std::string data;
  while (auto event = splitter.next()) {
    data.clear();
    bool has_data = event_data(*event, data);
    use(*event, has_data ? std::string_view(data) : std::string_view{});
  }
}

void add_to(bj::object& object, std::string_view key, std::int64_t amount) {
  auto* value = object.if_contains(key);
  if (value != nullptr && value->is_int64()) *value = value->get_int64() + amount;
}

// The limit on new tokens, less what was said already.
void reduce(std::vector<BodyEdit>& edits, const bj::object& body, std::string_view key,
            std::uint64_t tokens) {
  const auto* value = body.if_contains(key);
  if (value == nullptr || !value->is_int64() || value->get_int64() < 0) return;
  auto left = std::max<std::int64_t>(1, value->get_int64() - static_cast<std::int64_t>(tokens));
  edits.push_back({key, std::to_string(left)});
}

}  // namespace

void StreamRecord::note(std::string_view events) {
  for_each_event(events, [this](std::string_view, std::string_view data) {
    if (data.empty() || data == "[DONE]") return;
    auto parsed = json::parse(data);
    if (parsed && parsed->is_object()) note_chunk(parsed->get_object());
  });
}

void StreamRecord::note_chunk(const bj::object& chunk) {
  const auto* choices = chunk.if_contains("choices");
  if (choices == nullptr || !choices->is_array()) return;
  if (!started_) {
    started_ = true;
    id_ = text_of(chunk, "id");
    if (const auto* created = chunk.if_contains("created")) created_ = *created;
  }
  for (const auto& choice : choices->get_array()) {
    if (choice.is_object()) note_choice(choice.get_object());
  }
}

void StreamRecord::note_choice(const bj::object& choice) {
  const auto* index = choice.if_contains("index");
  if (index != nullptr && index->is_int64() && index->get_int64() != 0) plain_ = false;
  if (has_value(choice, "logprobs")) plain_ = false;
  if (has_value(choice, "finish_reason")) finished_ = true;
  std::string_view said = text_of(choice, "text");
  if (const auto* delta = object_in(choice, "delta")) {
    said = text_of(*delta, "content");
    for (std::string_view other : {"tool_calls", "reasoning_content", "reasoning", "refusal"}) {
      if (has_value(*delta, other)) plain_ = false;
    }
  }
  text_.append(said);
  if (!said.empty()) ++tokens_;
}

Result<std::string> StreamRecord::continued_body(const inference::Request& request) {
  auto cannot = [](const char* why) { return fail(ErrorCode::invalid_argument, why); };
  CORRAL_TRY(auto parsed, json::parse(request.body));
  if (!parsed.is_object()) return cannot("the request is no JSON object");
  const bj::object& body = parsed.get_object();
  std::vector<BodyEdit> edits;
  if (request.operation == inference::Operation::chat) {
    const auto* messages = body.if_contains("messages");
    if (messages == nullptr || !messages->is_array()) return cannot("there are no messages");
    bj::array more = messages->get_array();
    more.push_back(bj::object{{"role", "assistant"}, {"content", text_}});
    edits.push_back({"messages", json::serialize(more)});
    edits.push_back({"continue_final_message", "true"});
    edits.push_back({"add_generation_prompt", "false"});
  } else {
    const auto* prompt = body.if_contains("prompt");
    if (prompt == nullptr || !prompt->is_string()) return cannot("the prompt is no text");
    std::string longer(prompt->get_string());
    edits.push_back({"prompt", json::quoted(longer + text_)});
  }
  for (std::string_view limit : {"max_tokens", "max_completion_tokens"}) {
    reduce(edits, body, limit, tokens_);
  }
  CORRAL_TRY(auto rewritten, RewrittenBody::make(request.body, edits));
  carried_ = tokens_;
  std::string result;
  for (auto part : rewritten.parts()) result.append(part);
  return result;
}

bool StreamRecord::splice_chunk(bj::object& chunk) const {
  chunk["id"] = id_;
  if (!created_.is_null()) chunk["created"] = created_;
  if (auto* usage = chunk.if_contains("usage"); usage != nullptr && usage->is_object()) {
    auto said = static_cast<std::int64_t>(carried_);
    add_to(usage->get_object(), "completion_tokens", said);
    add_to(usage->get_object(), "prompt_tokens", -said);
    return true;
  }
  auto* choices = chunk.if_contains("choices");
  if (choices == nullptr || !choices->is_array() || choices->get_array().size() != 1) return true;
  auto* choice = choices->get_array()[0].if_object();
  const auto* delta = choice != nullptr ? object_in(*choice, "delta") : nullptr;
  bool second_beginning = delta != nullptr && has_value(*delta, "role") &&
                          text_of(*delta, "content").empty() &&
                          !has_value(*choice, "finish_reason");
  return !second_beginning;
}

std::string StreamRecord::spliced(std::string_view events) const {
  std::string out;
  for_each_event(events, [&](std::string_view event, std::string_view data) {
    auto parsed = data.empty() || data == "[DONE]" ? Result<bj::value>(nullptr) : json::parse(data);
    if (!parsed || !parsed->is_object()) {
      out.append(event);
    } else if (splice_chunk(parsed->get_object())) {
      out.append("data: ").append(json::serialize(*parsed)).append("\n\n");
    }
  });
  return out;
}

}  // namespace corral::bindings::openai

#include "bindings/openai/peek.hpp"

#include <simdjson.h>

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <boost/json/value.hpp>
#include <cstring>

#include "base/json.hpp"

namespace corral::bindings::openai {
namespace {

using inference::Operation;
using simdjson::dom::element;
using simdjson::dom::element_type;

// What a field may hold; a combination of bits.
enum Shape : unsigned {
  kNull = 1,
  kBool = 2,
  kInteger = 4,
  kNumber = 8,
  kString = 16,
  kArray = 32,
  kObject = 64,
};

enum Use : unsigned {
  kChat = 1,
  kCompletion = 2,
  kEmbedding = 4,
  kText = kChat | kCompletion,
  kAll = kText | kEmbedding
};

struct FieldRule {
  std::string_view name;
  unsigned used_by;
  unsigned shape;
  std::string_view expected;
  double least = -1e300, most = 1e300;  // of numbers
};

constexpr unsigned kOptional = kNull;
constexpr FieldRule kRules[] = {
    {"model", kAll, kString, "a string"},
    {"messages", kChat, kArray, "an array of messages"},
    {"prompt", kCompletion, kString | kArray, "a string or an array"},
    {"input", kEmbedding, kString | kArray, "a string or an array"},
    {"stream", kText, kBool | kOptional, "true or false"},
    {"stream_options", kText, kObject | kOptional, "an object"},
    {"temperature", kText, kNumber | kOptional, "a number of at least 0", 0},
    {"top_p", kText, kNumber | kOptional, "a number from 0 to 1", 0, 1},
    {"n", kText, kInteger | kOptional, "a whole number from 1 to 128", 1, 128},
    {"stop", kText, kString | kArray | kOptional, "a string or an array of strings"},
    {"max_tokens", kText, kInteger | kOptional, "a whole number of at least -1", -1},
    {"max_completion_tokens", kChat, kInteger | kOptional, "a whole number of at least -1", -1},
    {"presence_penalty", kText, kNumber | kOptional, "a number from -2 to 2", -2, 2},
    {"frequency_penalty", kText, kNumber | kOptional, "a number from -2 to 2", -2, 2},
    {"logit_bias", kText, kObject | kArray | kOptional, "an object"},
    {"logprobs", kChat, kBool | kOptional, "true or false"},
    {"logprobs", kCompletion, kInteger | kOptional, "a whole number from 0 to 20", 0, 20},
    {"top_logprobs", kChat, kInteger | kOptional, "a whole number from 0 to 20", 0, 20},
    {"seed", kText, kInteger | kOptional, "a whole number"},
    {"user", kAll, kString | kOptional, "a string"},
    {"tools", kChat, kArray | kOptional, "an array of tools"},
    {"tool_choice", kChat, kString | kObject | kOptional, "a string or an object"},
    {"parallel_tool_calls", kChat, kBool | kOptional, "true or false"},
    {"response_format", kChat, kObject | kOptional, "an object"},
    {"echo", kCompletion, kBool | kOptional, "true or false"},
    {"suffix", kCompletion, kString | kOptional, "a string"},
    {"encoding_format", kEmbedding, kString | kOptional, "\"float\" or \"base64\""},
    {"dimensions", kEmbedding, kInteger | kOptional, "a whole number of at least 1", 1},
    {"return_progress", kText, kBool | kOptional, "true or false"},
};

constexpr std::string_view kRoles[] = {"system",    "developer", "user",
                                       "assistant", "tool",      "function"};

unsigned use_of(Operation operation) {
  switch (operation) {
    case Operation::chat: return kChat;
    case Operation::completion: return kCompletion;
    case Operation::embedding: return kEmbedding;
  }
  return kAll;
}

unsigned shape_of(const element& value) {
  switch (value.type()) {
    case element_type::NULL_VALUE: return kNull;
    case element_type::BOOL: return kBool;
    case element_type::INT64:
    case element_type::UINT64: return kInteger | kNumber;
    case element_type::DOUBLE: return kNumber;
    case element_type::STRING: return kString;
    case element_type::ARRAY: return kArray;
    case element_type::OBJECT: return kObject;
  }
  return 0;
}

Error wrong(std::string_view field, std::string_view expected) {
  return fail(ErrorCode::invalid_argument, fmt::format("'{}' must be {}", field, expected))
      .field(std::string(field));
}

std::string_view text_of(const element& value) {
  std::string_view text;
  return value.get(text) == simdjson::SUCCESS ? text : std::string_view{};
}

Result<void> check_field(const FieldRule& rule, const element& value) {
  if ((shape_of(value) & rule.shape) == 0) return wrong(rule.name, rule.expected);
  double number = 0;
  if ((rule.shape & (kInteger | kNumber)) != 0 && value.get(number) == simdjson::SUCCESS &&
      (number < rule.least || number > rule.most)) {
    return wrong(rule.name, rule.expected);
  }
  return {};
}

Result<void> check_message(const element& message, std::size_t index) {
  auto at = [&](std::string_view part) { return fmt::format("messages[{}]{}", index, part); };
  if (!message.is_object()) return wrong(at(""), "an object");
  element role;
  if (message["role"].get(role) != simdjson::SUCCESS || !role.is_string()) {
    return wrong(at(".role"), "a string");
  }
  if (std::ranges::find(kRoles, text_of(role)) == std::end(kRoles)) {
    return wrong(at(".role"), "one of system, developer, user, assistant, tool");
  }
  element content;
  if (message["content"].get(content) == simdjson::SUCCESS) {
    if ((shape_of(content) & (kString | kArray | kNull)) == 0) {
      return wrong(at(".content"), "a string or an array of parts");
    }
    if (content.is_array()) {
      for (element part : simdjson::dom::array(content)) {
        element type;
        if (!part.is_object() || part["type"].get(type) != simdjson::SUCCESS || !type.is_string()) {
          return wrong(at(".content"), "an array of objects that have a type");
        }
      }
    }
  }
  element calls;
  if (message["tool_calls"].get(calls) == simdjson::SUCCESS &&
      (shape_of(calls) & (kArray | kNull)) == 0) {
    return wrong(at(".tool_calls"), "an array");
  }
  return {};
}

Result<void> check_messages(const element& messages) {
  std::size_t index = 0;
  for (element message : simdjson::dom::array(messages)) {
    CORRAL_CHECK(check_message(message, index));
    ++index;
  }
  if (index == 0) return wrong("messages", "an array of at least one message");
  return {};
}

Result<void> check_tools(const element& tools) {
  std::size_t index = 0;
  for (element tool : simdjson::dom::array(tools)) {
    element function;
    element name;
    if (!tool.is_object() || tool["function"].get(function) != simdjson::SUCCESS ||
        !function.is_object() || function["name"].get(name) != simdjson::SUCCESS ||
        !name.is_string() || text_of(name).empty()) {
      return wrong(fmt::format("tools[{}].function.name", index), "a string that is not empty");
    }
    ++index;
  }
  return {};
}

Result<void> check_stop(const element& stop) {
  if (!stop.is_array()) return {};
  for (element item : simdjson::dom::array(stop)) {
    if (!item.is_string()) return wrong("stop", "a string or an array of strings");
  }
  return {};
}

// An embedding's input: a string, strings, token ids, or lists of token ids; never empty.
Result<void> check_input(const element& input) {
  if (!input.is_array()) return {};
  std::size_t count = 0;
  for (element item : simdjson::dom::array(input)) {
    if ((shape_of(item) & (kString | kInteger | kArray)) == 0) {
      return wrong("input", "a string, an array of strings, or arrays of token ids");
    }
    ++count;
  }
  if (count == 0) return wrong("input", "an array of at least one item");
  return {};
}

// Deeper shapes of the fields that need it, and what the request keeps of them.
Result<void> take_field(std::string_view name, const element& value, inference::Request& request) {
  if (value.is_null()) return {};
  if (name == "messages") return check_messages(value);
  if (name == "tools") return check_tools(value);
  if (name == "stop") return check_stop(value);
  if (name == "input") return check_input(value);
  if (name == "model") request.model = ModelName(std::string(text_of(value)));
  if (name == "user") request.user = std::string(text_of(value));
  if (name == "stream") request.stream = bool(value);
  if (name == "return_progress") request.wants_progress = bool(value);
  if (name == "encoding_format" && text_of(value) != "float" && text_of(value) != "base64") {
    return wrong(name, "\"float\" or \"base64\"");
  }
  if (name == "stream_options") {
    element usage;
    if (value["include_usage"].get(usage) == simdjson::SUCCESS && !usage.is_null()) {
      if (!usage.is_bool()) return wrong("stream_options.include_usage", "true or false");
      request.usage_in_stream = bool(usage);
    }
  }
  return {};
}

Result<void> check_required(Operation operation, const inference::Request& request,
                            std::uint64_t seen) {
  auto present = [&](std::string_view name) {
    for (std::size_t i = 0; i < std::size(kRules); ++i) {
      if (kRules[i].name == name && (seen >> i & 1) != 0) return true;
    }
    return false;
  };
  auto missing = [](std::string_view name) {
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is required", name))
        .field(std::string(name));
  };
  if (!present("model")) return missing("model").hint("GET /v1/models lists the names");
  if (request.model.empty()) return wrong("model", "a string that is not empty");
  if (operation == Operation::chat && !present("messages")) return missing("messages");
  if (operation == Operation::completion && !present("prompt")) return missing("prompt");
  if (operation == Operation::embedding && !present("input")) return missing("input");
  return {};
}

Result<void> check_object(const simdjson::dom::object& object, inference::Request& request) {
  static_assert(std::size(kRules) <= 64);
  unsigned use = use_of(request.operation);
  std::uint64_t seen = 0;
  for (auto field : object) {
    for (std::size_t i = 0; i < std::size(kRules); ++i) {
      const FieldRule& rule = kRules[i];
      if ((rule.used_by & use) == 0 || rule.name != field.key) continue;
      if ((seen >> i & 1) != 0) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("'{}' stands twice in the request", rule.name))
            .field(std::string(rule.name));
      }
      seen |= std::uint64_t{1} << i;
      CORRAL_CHECK(check_field(rule, field.value));
      CORRAL_CHECK(take_field(rule.name, field.value, request));
    }
  }
  return check_required(request.operation, request, seen);
}

constexpr std::size_t kFirstDocument = 4096;

// Parser and the padded copy, reused by each thread; they keep their memory up to a bound.
struct PeekSpace {
  simdjson::dom::parser dom;
  std::string padded;

  void shrink() {
    constexpr std::size_t kKeep = 1u << 20;
    if (padded.capacity() <= kKeep) return;
    dom = simdjson::dom::parser();
    padded = std::string();
  }
};

// Why simdjson refused `body`; Boost.JSON knows where.
Error refusal(std::string_view body) {
  auto parsed = json::parse(body);
  if (!parsed) return std::move(parsed).error();
  return fail(ErrorCode::invalid_argument,
              "the request holds a number that does not fit into 64 bits");
}

Result<inference::Request> peek_in(PeekSpace& space, Operation operation, std::string_view body) {
  space.padded.resize(body.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(space.padded.data(), body.data(), body.size());
  std::memset(space.padded.data() + body.size(), 0, simdjson::SIMDJSON_PADDING);

  // The depth is ours from the first allocation on, so that all parsers agree.
  if (space.dom.capacity() == 0 &&
      space.dom.allocate(kFirstDocument, json::kMaxDepth) != simdjson::SUCCESS) {
    return fail(ErrorCode::internal, "out of memory");
  }
  element root;
  auto error = space.dom.parse(space.padded.data(), body.size(), false).get(root);
  if (error != simdjson::SUCCESS) return refusal(body);
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_argument, "the request body must be a JSON object");
  }
  inference::Request request;
  request.operation = operation;
  request.body = body;
  CORRAL_CHECK(check_object(object, request));
  return request;
}

}  // namespace

Result<inference::Request> peek(Operation operation, std::string_view body) {
  if (body.empty()) {
    return fail(ErrorCode::invalid_argument, "the request body is empty")
        .hint("send a JSON object, with Content-Type: application/json");
  }
  static thread_local PeekSpace space;
  auto request = peek_in(space, operation, body);
  space.shrink();
  return request;
}

}  // namespace corral::bindings::openai

#include "config/node.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>
#include <algorithm>
#include <boost/json/value.hpp>
#include <charconv>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::config {
namespace {

// Ends the parser from within its events; caught in parse_document().
class Refused final : public std::runtime_error {
 public:
  Refused(int at, const std::string& what) : std::runtime_error(what), line(at) {}
  int line;
};

int line_of(const YAML::Mark& mark) { return mark.line + 1; }

class TreeBuilder final : public YAML::EventHandler {
 public:
  ConfigNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw Refused{line_of(mark), "a second document begins; one is allowed"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    place({.kind = ConfigNode::Kind::null, .line = line_of(mark)});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused{line_of(mark), "aliases (*name) are not supported; write the value out"};
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) {
      levels_.back().keys.push_back({value, line_of(mark)});
    } else {
      place({.kind = ConfigNode::Kind::scalar,
             .line = line_of(mark),
             .text = value,
             .quoted = tag == "!"});  // how the parser marks a scalar in quotes
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    descend(mark, tag, anchor, ConfigNode::Kind::list);
  }
  void OnSequenceEnd() override { ascend(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    descend(mark, tag, anchor, ConfigNode::Kind::map);
  }
  void OnMapEnd() override { ascend(); }

 private:
  bool expects_key() const {
    return !levels_.empty() && levels_.back().kind == ConfigNode::Kind::map &&
           levels_.back().keys.size() == levels_.back().items.size();
  }

  void place(ConfigNode node) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    if (expects_key()) throw Refused{node.line, "a key must be plain text"};
    levels_.back().items.push_back(std::move(node));
  }

  void descend(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
               ConfigNode::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (expects_key()) throw Refused{line_of(mark), "a key must be plain text"};
    if (levels_.size() == kMaxDepth) {
      throw Refused{line_of(mark), fmt::format("nested deeper than {} levels", kMaxDepth)};
    }
    levels_.push_back({.kind = kind, .line = line_of(mark)});
  }

  void ascend() {
    ConfigNode done = std::move(levels_.back());
    levels_.pop_back();
    place(std::move(done));
  }

  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor == 0) return;
    throw Refused{line_of(mark), "anchors (&name) are not supported; write the value out"};
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) return;
    throw Refused{line_of(mark), "tags (!name) are not supported"};
  }

  ConfigNode root_;
  std::vector<ConfigNode> levels_;  // the open lists and maps
  int documents_ = 0;
};

Error at_line(std::string_view file_name, int line, std::string_view what) {
  return fail(ErrorCode::invalid_argument, fmt::format("{}:{}: {}", file_name, line, what));
}

// Refuses what no text editor writes, before the parser has to cope with it.
Result<void> check_characters(std::string_view text, std::string_view file_name) {
  int line = 1;
  while (!text.empty()) {
    auto c = static_cast<unsigned char>(text.front());
    std::size_t length = utf8_sequence_length(text);
    if (length == 0) return at_line(file_name, line, "the text is not UTF-8");
    if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      return at_line(file_name, line, fmt::format("control character {:#04x}", c));
    }
    if (c == '\n') ++line;
    text.remove_prefix(length);
  }
  return {};
}

Result<ConfigNode> parse_yaml(const std::string& text, std::string_view file_name) {
  std::istringstream input(text);
  TreeBuilder builder;
  try {
    YAML::Parser parser(input);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const Refused& refused) {
    return at_line(file_name, refused.line, refused.what());
  } catch (const YAML::Exception& error) {
    return at_line(file_name, std::max(1, line_of(error.mark)), error.msg);
  } catch (const std::exception& error) {
    return at_line(file_name, 1, error.what());
  }
  return builder.take();
}

std::optional<unsigned> hex4(std::string_view text) {
  unsigned value = 0;
  if (text.size() < 4) return std::nullopt;
  const char* first = &text.front();
  const char* last = first + 4;
  auto [end, error] = std::from_chars(first, last, value, 16);
  return error == std::errc{} && end == last ? std::optional(value) : std::nullopt;
}

void append_utf8(std::string& out, unsigned code) {  // of a code point beyond the first 65,536
  out += static_cast<char>(0xF0 | (code >> 18));
  out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
  out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// Valid JSON as YAML. YAML forbids the tabs that JSON may be indented with (JSON has none inside
// strings), and knows no pairs of surrogates.
std::string yaml_of_json(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i] == '\t' ? ' ' : text[i];
      continue;
    }
    if (text[i + 1] == 'u') {
      auto high = hex4(text.substr(i + 2));
      bool pair = text.substr(std::min(i + 6, text.size())).starts_with("\\u");
      auto low = pair ? hex4(text.substr(i + 8)) : std::nullopt;
      if (high && low && (*high & 0xFC00) == 0xD800 && (*low & 0xFC00) == 0xDC00) {
        append_utf8(out, 0x10000 + ((*high & 0x3FF) << 10) + (*low & 0x3FF));
        i += 11;
        continue;
      }
    }
    out += text[i];
    out += text[++i];
  }
  return out;
}

}  // namespace

Result<ConfigNode> parse_document(std::string_view text, std::string_view file_name,
                                  Format format) {
  if (text.size() > kMaxTextBytes) {
    return fail(ErrorCode::too_large,
                fmt::format("{} is larger than {}", file_name, format_bytes(kMaxTextBytes)));
  }
  CORRAL_CHECK(check_characters(text, file_name));
  std::string source(text);
  bool json = format == Format::json || file_name.ends_with(".json");
  if (json && !trim(text).empty()) {
    auto valid = corral::json::parse(text);
    if (!valid) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: {}", file_name, valid.error().message));
    }
    source = yaml_of_json(text);
  }
  return parse_yaml(source, file_name);
}

std::string quoted_for_message(std::string_view text) {
  constexpr std::size_t kMost = 60;
  std::string result = "'";
  for (char c : text.substr(0, kMost)) {
    bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    result += control ? '?' : c;
  }
  result += text.size() > kMost ? "...'" : "'";
  return result;
}

}  // namespace corral::config

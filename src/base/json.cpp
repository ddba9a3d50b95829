#include "base/json.hpp"

#include <fmt/core.h>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>

#include "base/text.hpp"

namespace corral::json {
namespace bj = boost::json;
namespace {

bj::parse_options options() {
  bj::parse_options result;
  result.max_depth = kMaxDepth;
  return result;
}

bool finite(const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::double_: return std::isfinite(value.get_double());
    case bj::kind::array:
      for (const auto& item : value.get_array()) {
        if (!finite(item)) return false;
      }
      return true;
    case bj::kind::object:
      for (const auto& member : value.get_object()) {
        if (!finite(member.value())) return false;
      }
      return true;
    default: return true;
  }
}

Error error_at(std::string_view text, std::size_t offset, const std::string& reason) {
  offset = std::min(offset, text.size());
  std::size_t line = 1, line_start = 0;
  for (std::size_t i = 0; i < offset; ++i) {
    if (text[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("not valid JSON at line {}, column {} (byte {}): {}", line,
                          offset - line_start + 1, offset, reason));
}

void write(std::string& out, const bj::value& value, int indent, int depth);

void new_line(std::string& out, int indent, int depth) {
  if (indent == 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

void write_number(std::string& out, double number) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".en") == std::string_view::npos) out += ".0";
}

void write_array(std::string& out, const bj::array& array, int indent, int depth) {
  out += '[';
  bool first = true;
  for (const auto& item : array) {
    if (!first) out += ',';
    first = false;
    new_line(out, indent, depth + 1);
    write(out, item, indent, depth + 1);
  }
  if (!first) new_line(out, indent, depth);
  out += ']';
}

void write_object(std::string& out, const bj::object& object, int indent, int depth) {
  out += '{';
  bool first = true;
  for (const auto& member : object) {
    if (!first) out += ',';
    first = false;
    new_line(out, indent, depth + 1);
    append_quoted(out, member.key());
    out += indent == 0 ? ":" : ": ";
    write(out, member.value(), indent, depth + 1);
  }
  if (!first) new_line(out, indent, depth);
  out += '}';
}

void write(std::string& out, const bj::value& value, int indent, int depth) {
  switch (value.kind()) {
    case bj::kind::null: out += "null"; break;
    case bj::kind::bool_: out += value.get_bool() ? "true" : "false"; break;
    case bj::kind::int64: out += fmt::format("{}", value.get_int64()); break;
    case bj::kind::uint64: out += fmt::format("{}", value.get_uint64()); break;
    case bj::kind::double_: write_number(out, value.get_double()); break;
    case bj::kind::string: append_quoted(out, value.get_string()); break;
    case bj::kind::array: write_array(out, value.get_array(), indent, depth); break;
    case bj::kind::object: write_object(out, value.get_object(), indent, depth); break;
  }
}

}  // namespace

Result<bj::value> parse(std::string_view text) {
  bj::error_code error;
  bj::value value = bj::parse(bj::string_view(text.data(), text.size()), error, {}, options());
  if (error) return explain_syntax_error(text);
  if (!finite(value)) {
    return fail(ErrorCode::invalid_argument, "a number is too large for a 64-bit float");
  }
  return value;
}

Error explain_syntax_error(std::string_view text) {
  bj::stream_parser parser({}, options());
  bj::error_code error;
  std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  if (error) return error_at(text, consumed, error.message());
  if (consumed < text.size()) {
    auto rest = text.find_first_not_of(" \t\r\n", consumed);
    if (rest != std::string_view::npos)
      return error_at(text, rest, "extra text after the document");
  }
  parser.finish(error);
  if (error) return error_at(text, text.size(), "the document ends too early");
  return fail(ErrorCode::invalid_argument, "not valid JSON");
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t length = utf8_sequence_length(text);
    char c = text.front();
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      length = 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      switch (c) {
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default: out += fmt::format("\\u{:04x}", static_cast<unsigned>(c)); break;
      }
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out += '"';
}

std::string quoted(std::string_view text) {
  std::string result;
  append_quoted(result, text);
  return result;
}

std::string serialize(const bj::value& value) {
  std::string out;
  write(out, value, 0, 0);
  return out;
}

std::string pretty(const bj::value& value) {
  std::string out;
  write(out, value, 2, 0);
  return out;
}

}  // namespace corral::json

#include "store/postgres_values.hpp"

#include <fmt/core.h>

#include <charconv>

namespace corral::store {
namespace {

// From PostgreSQL's src/include/catalog/pg_type.dat.
constexpr PostgresType kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25,
                       kOid = 26, kFloat4 = 700, kFloat8 = 701, kNumeric = 1700;

template <class T>
bool read_number(std::string_view text, T& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

int hex(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

// "\x6869": bytea_output is set to hex on every connection.
std::string bytes_of(std::string_view text) {
  std::string bytes;
  if (text.starts_with("\\x")) text.remove_prefix(2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<char>(hex(text[i]) * 16 + hex(text[i + 1])));
  return bytes;
}

}  // namespace

PostgresType postgres_type(const Value& value) {
  constexpr PostgresType kTypes[] = {0, kInt8, kFloat8, kText, kBytea};
  return kTypes[value.held().index()];
}

std::string to_postgres(const Value& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return {}; }
    std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(const Blob& blob) const { return blob.bytes; }
  };
  return std::visit(Visitor{}, value.held());
}

Value from_postgres(PostgresType type, std::string_view text) {
  switch (type) {
    case kBool: return Value(text == "t" ? 1 : 0);
    case kInt8:
    case kInt2:
    case kInt4:
    case kOid:
    case kNumeric:  // sums of bigint
      if (std::int64_t whole = 0; read_number(text, whole)) return Value(whole);
      [[fallthrough]];
    case kFloat4:
    case kFloat8:
      if (double real = 0; read_number(text, real)) return Value(real);
      return Value(text);
    case kBytea: return Value(Blob{bytes_of(text)});
    default: return Value(text);
  }
}

}  // namespace corral::store

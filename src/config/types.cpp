#include "config/types.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/config.hpp"

namespace corral::config {
namespace {

std::string_view shape_of(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::null: return "nothing";
    case ConfigNode::Kind::list: return "a list";
    case ConfigNode::Kind::map: return "a section";
    case ConfigNode::Kind::scalar: break;
  }
  return "a value";
}

Result<std::string_view> scalar(const ConfigNode& node, std::string_view expected) {
  if (node.kind == ConfigNode::Kind::scalar) return std::string_view(node.text);
  return bad(fmt::format("{} is expected, not {}", expected, shape_of(node)));
}

class Flag final : public Type<bool> {
 public:
  Result<bool> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "true or false"));
    std::string low = to_lower(value);
    if (low == "true" || low == "yes" || low == "on") return true;
    if (low == "false" || low == "no" || low == "off") return false;
    return bad(fmt::format("{} is not true or false", quoted_for_message(value)));
  }
  std::string write(const bool& value) const override { return value ? "true" : "false"; }
  std::string name() const override { return "true or false"; }
  std::string schema() const override { return R"("type":"boolean")"; }
};

template <class T>
class Whole final : public Type<T> {
 public:
  Whole(T least, T most) : least_(least), most_(most) {}

  Result<T> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "a whole number"));
    T number{};
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    bool whole = !value.empty() && end == value.data() + value.size() && error == std::errc{};
    if (!whole || number < least_ || number > most_) {
      return bad(fmt::format("{} is not a whole number ({})", quoted_for_message(value), range()));
    }
    return number;
  }
  std::string write(const T& value) const override { return fmt::format("{}", value); }
  std::string name() const override { return fmt::format("whole number, {}", range()); }
  std::string schema() const override {
    return fmt::format(R"("type":"integer","minimum":{},"maximum":{})", least_, most_);
  }

 private:
  std::string range() const { return fmt::format("{} to {}", least_, most_); }
  T least_, most_;
};

// The largest unit that leaves no rest, so that what is read back is the same.
std::string exact_bytes(std::uint64_t value) {
  constexpr std::pair<std::uint64_t, std::string_view> kUnits[] = {
      {1ull << 30, "GiB"}, {1ull << 20, "MiB"}, {1ull << 10, "KiB"}};
  for (auto [unit, unit_name] : kUnits) {
    if (value >= unit && value % unit == 0) return fmt::format("{}{}", value / unit, unit_name);
  }
  return fmt::format("{}", value);
}

class Bytes final : public Type<std::uint64_t> {
 public:
  Bytes(std::uint64_t least, std::uint64_t most) : least_(least), most_(most) {}

  Result<std::uint64_t> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "a size"));
    auto size = parse_bytes(value);
    if (!size) {
      return bad(fmt::format("{} is not a size (write for example 64KiB or 1.5GiB)",
                             quoted_for_message(value)));
    }
    if (*size < least_ || *size > most_) {
      return bad(fmt::format("{} is out of range ({} to {})", quoted_for_message(value),
                             exact_bytes(least_), exact_bytes(most_)));
    }
    return size;
  }
  std::string write(const std::uint64_t& value) const override {
    return json::quoted(exact_bytes(value));
  }
  std::string name() const override { return "size"; }
  std::string schema() const override {
    return R"("type":["string","integer"],"minimum":0,)"
           R"("pattern":"^[0-9]+(\\.[0-9]+)? ?([kKmMgGtT]i?)?[bB]?$")";
  }

 private:
  std::uint64_t least_, most_;
};

enum class Inherit { no, yes };

class Duration final : public Type<Milliseconds> {
 public:
  Duration(Milliseconds least, Milliseconds most, Inherit inherit)
      : least_(least), most_(most), inherit_(inherit) {}

  Result<Milliseconds> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "a duration"));
    if (inherit_ == Inherit::yes && value == "default") return Milliseconds(-1);
    auto time = parse_duration(value);
    if (!time) {
      return bad(fmt::format("{} is not a duration (write for example 250ms, 30s or 1h30m)",
                             quoted_for_message(value)));
    }
    if (*time < least_ || *time > most_) {
      return bad(fmt::format("{} is out of range ({} to {})", quoted_for_message(value),
                             format_duration(least_), format_duration(most_)));
    }
    return time;
  }
  std::string write(const Milliseconds& value) const override {
    return json::quoted(value.count() < 0 ? "default" : format_duration(value));
  }
  std::string name() const override {
    return inherit_ == Inherit::yes ? "duration or \"default\"" : "duration";
  }
  std::string schema() const override {
    return fmt::format(R"("type":["string","number"],"minimum":0,)"
                       R"("pattern":"^({}[0-9]+(\\.[0-9]+)?|([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+)$")",
                       inherit_ == Inherit::yes ? "default|" : "");
  }

 private:
  Milliseconds least_, most_;
  Inherit inherit_;
};

class Text final : public Type<std::string> {
 public:
  Result<std::string> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "text"));
    if (value.find('\0') != std::string_view::npos) return bad("a NUL character is not allowed");
    return std::string(value);
  }
  std::string write(const std::string& value) const override { return json::quoted(value); }
  std::string name() const override { return "text"; }
  std::string schema() const override { return R"("type":"string")"; }
};

class Choice final : public Type<std::string> {
 public:
  explicit Choice(std::vector<std::string> allowed) : allowed_(std::move(allowed)) {}

  Result<std::string> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "text"));
    if (std::ranges::find(allowed_, value) != allowed_.end()) return std::string(value);
    return bad(fmt::format("{} is not one of {}", quoted_for_message(value), join(allowed_, ", ")));
  }
  std::string write(const std::string& value) const override { return json::quoted(value); }
  std::string name() const override { return "one of " + join(allowed_, ", "); }
  std::string schema() const override {
    std::string list;
    for (const auto& each : allowed_) {
      if (!list.empty()) list += ',';
      list += json::quoted(each);
    }
    return R"("type":"string","enum":[)" + list + "]";
  }

 private:
  std::vector<std::string> allowed_;
};

// The parts of a list; a single value counts as a list of one.
Result<TextList> list_parts(const ConfigNode& node) {
  TextList parts;
  if (node.kind == ConfigNode::Kind::scalar) {
    if (!node.commas) return TextList{node.text};
    for (auto part : split(node.text, ',')) {
      if (!trim(part).empty()) parts.emplace_back(trim(part));
    }
    return parts;
  }
  if (node.kind != ConfigNode::Kind::list) {
    return bad(fmt::format("a list is expected, not {}", shape_of(node)));
  }
  for (const ConfigNode& item : node.items) {
    CORRAL_TRY(auto part, Text().read(item));
    parts.push_back(std::move(part));
  }
  return parts;
}

class Texts final : public Type<TextList> {
 public:
  Result<TextList> read(const ConfigNode& node) const override { return list_parts(node); }
  std::string write(const TextList& value) const override {
    std::string list;
    for (const auto& each : value) {
      if (!list.empty()) list += ", ";
      list += json::quoted(each);
    }
    return "[" + list + "]";
  }
  std::string name() const override { return "list of text"; }
  std::string schema() const override { return R"("type":"array","items":{"type":"string"})"; }
};

class SecretType final : public Type<Secret> {
 public:
  Result<Secret> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto value, scalar(node, "text"));
    for (char c : value) {
      if (static_cast<unsigned char>(c) < 0x21 || c == 0x7F) {
        return bad("the secret holds a space or a control character");
      }
    }
    return Secret{std::string(value)};
  }
  std::string write(const Secret&) const override { return "\"***\""; }
  std::string name() const override { return "secret"; }
  std::string schema() const override { return R"("type":"string","writeOnly":true)"; }
};

class Addresses final : public Type<std::vector<ListenAddress>> {
 public:
  Result<std::vector<ListenAddress>> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto parts, list_parts(node));
    std::vector<ListenAddress> result;
    for (const auto& part : parts) {
      CORRAL_TRY(auto address, parse_listen_address(part));
      result.push_back(std::move(address));
    }
    return result;
  }
  std::string write(const std::vector<ListenAddress>& value) const override {
    TextList list;
    for (const auto& address : value) {
      list.push_back(to_string(address) + (address.required ? "" : "?"));
    }
    return Texts().write(list);
  }
  std::string name() const override { return "list of HOST:PORT"; }
  std::string schema() const override {
    return R"("type":"array","items":{"type":"string","pattern":":[0-9]+\\??$"},"minItems":1)";
  }
};

bool is_ipv4(std::string_view host) {
  auto parts = split(host, '.');
  if (parts.size() != 4) return false;
  return std::ranges::all_of(parts, [](std::string_view part) {
    unsigned number = 256;
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    return error == std::errc{} && end == part.data() + part.size() && part.size() <= 3 &&
           number <= 255;
  });
}

// Roughly; the system has the last word when the address is bound.
bool looks_like_ipv6(std::string_view host) {
  return std::ranges::count(host, ':') >= 2 &&
         host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
}

}  // namespace

Error bad(std::string message) { return fail(ErrorCode::invalid_argument, std::move(message)); }

TypePtr<bool> flag() { return std::make_shared<Flag>(); }
TypePtr<unsigned> whole(unsigned least, unsigned most) {
  return std::make_shared<Whole<unsigned>>(least, most);
}
TypePtr<std::uint64_t> count(std::uint64_t least, std::uint64_t most) {
  return std::make_shared<Whole<std::uint64_t>>(least, most);
}
TypePtr<std::uint64_t> bytes(std::uint64_t least, std::uint64_t most) {
  return std::make_shared<Bytes>(least, most);
}
TypePtr<Milliseconds> duration(Milliseconds least, Milliseconds most) {
  return std::make_shared<Duration>(least, most, Inherit::no);
}
TypePtr<Milliseconds> duration_or_default(Milliseconds least, Milliseconds most) {
  return std::make_shared<Duration>(least, most, Inherit::yes);
}
TypePtr<std::string> text() { return std::make_shared<Text>(); }
TypePtr<std::string> choice(std::vector<std::string> allowed) {
  return std::make_shared<Choice>(std::move(allowed));
}
TypePtr<TextList> texts() { return std::make_shared<Texts>(); }
TypePtr<Secret> secret() { return std::make_shared<SecretType>(); }
TypePtr<std::vector<ListenAddress>> addresses() { return std::make_shared<Addresses>(); }

Result<ListenAddress> parse_listen_address(std::string_view text) {
  auto wrong = [&](std::string_view why) {
    return bad(
        fmt::format("{} is not an address to listen on: {} (write HOST:PORT, for example "
                    "127.0.0.1:8585, 0.0.0.0:8585 or [::1]:8585)",
                    quoted_for_message(text), why));
  };
  std::string_view rest = trim(text);
  ListenAddress address;
  if (rest.ends_with('?')) {
    address.required = false;
    rest.remove_suffix(1);
  }
  auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) return wrong("the port is missing");
  std::string_view host = rest.substr(0, colon), port = rest.substr(colon + 1);
  bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed ? !looks_like_ipv6(host) : !is_ipv4(host) && host != "localhost") {
    return wrong("the host must be an IP address or localhost");
  }
  unsigned number = 65536;
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size() || number > 65535) {
    return wrong("the port must be 0 to 65535");
  }
  address.host = std::string(host);
  address.port = static_cast<std::uint16_t>(number);
  return address;
}

std::string to_string(const ListenAddress& address) {
  bool ipv6 = address.host.find(':') != std::string::npos;
  return ipv6 ? fmt::format("[{}]:{}", address.host, address.port)
              : fmt::format("{}:{}", address.host, address.port);
}

bool is_loopback(const ListenAddress& address) {
  return address.host == "localhost" || address.host == "::1" ||
         (is_ipv4(address.host) && address.host.starts_with("127."));
}

}  // namespace corral::config

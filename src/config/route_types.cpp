// The types of values that routes brought: names of policies, fractions, scalars of any kind.
#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/types.hpp"

namespace corral::config {
namespace {

template <class E>
using Names = std::span<const std::pair<E, std::string_view>>;

constexpr std::pair<Balance, std::string_view> kBalances[] = {
    {Balance::peak_ewma, "peak_ewma"}, {Balance::round_robin, "round_robin"},
    {Balance::weighted, "weighted"},   {Balance::least_busy, "least_busy"},
    {Balance::sticky, "sticky"},       {Balance::prefix, "prefix"}};
constexpr std::pair<StickyBy, std::string_view> kStickyBys[] = {{StickyBy::user, "user"},
                                                                {StickyBy::session, "session"}};
constexpr std::pair<CachePolicy, std::string_view> kCachePolicies[] = {
    {CachePolicy::off, "off"},
    {CachePolicy::opt_in, "opt_in"},
    {CachePolicy::temperature0, "temperature0"}};
constexpr std::pair<Priority, std::string_view> kPriorities[] = {
    {Priority::high, "high"}, {Priority::normal, "normal"}, {Priority::low, "low"}};

template <class E>
std::string_view name_in(Names<E> names, E value) {
  auto found = std::ranges::find(names, value, &std::pair<E, std::string_view>::first);
  return found == names.end() ? std::string_view("unknown") : found->second;
}

// Reads and writes by choice(), so that all choices look the same.
template <class E>
class Named final : public Type<E> {
 public:
  explicit Named(Names<E> names) : names_(names) {
    std::vector<std::string> allowed;
    allowed.reserve(names.size());
    for (const auto& [value, name] : names) allowed.emplace_back(name);
    text_ = choice(std::move(allowed));
  }
  Result<E> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto text, text_->read(node));
    return std::ranges::find(names_, text, &std::pair<E, std::string_view>::second)->first;
  }
  std::string write(const E& value) const override { return json::quoted(name_in(names_, value)); }
  std::string name() const override { return text_->name(); }
  std::string schema() const override { return text_->schema(); }

 private:
  Names<E> names_;
  TypePtr<std::string> text_;
};

// A finite number and nothing behind it. JSON's numbers, and YAML's ".5".
std::optional<double> number(std::string_view text) {
  if (text.empty() || std::string_view("-.0123456789").find(text[0]) == std::string_view::npos) {
    return std::nullopt;
  }
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// The shortest text that reads back the same, and as no whole number.
std::string text_of(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

class Real final : public Type<double> {
 public:
  Real(double least, double most) : least_(least), most_(most) {}

  Result<double> read(const ConfigNode& node) const override {
    CORRAL_TRY(auto text, config::text()->read(node));
    auto value = number(text);
    if (!value || *value < least_ || *value > most_) {
      return bad(fmt::format("{} is not a number ({})", quoted_for_message(text), range()));
    }
    return *value;
  }
  std::string write(const double& value) const override { return text_of(value); }
  std::string name() const override { return fmt::format("number, {}", range()); }
  std::string schema() const override {
    return fmt::format(R"("type":"number","minimum":{},"maximum":{})", least_, most_);
  }

 private:
  std::string range() const { return fmt::format("{} to {}", least_, most_); }
  double least_, most_;
};

class WholeOrDefault final : public Type<std::optional<unsigned>> {
 public:
  WholeOrDefault(unsigned least, unsigned most)
      : least_(least), most_(most), whole_(whole(least, most)) {}

  Result<std::optional<unsigned>> read(const ConfigNode& node) const override {
    if (node.kind == ConfigNode::Kind::scalar && node.text == "default") {
      return std::optional<unsigned>();
    }
    CORRAL_TRY(auto value, whole_->read(node));
    return std::optional<unsigned>(value);
  }
  std::string write(const std::optional<unsigned>& value) const override {
    return value ? fmt::format("{}", *value) : "\"default\"";
  }
  std::string name() const override { return whole_->name() + ", or \"default\""; }
  std::string schema() const override {
    return fmt::format(
        R"("type":["integer","string"],"minimum":{},"maximum":{},"pattern":"^default$")", least_,
        most_);
  }

 private:
  unsigned least_, most_;
  TypePtr<unsigned> whole_;
};

Result<Scalar> read_scalar(const ConfigNode& node) {
  if (node.kind != ConfigNode::Kind::scalar) {
    return bad("a text, a number, true or false is expected");
  }
  if (node.quoted) return Scalar(node.text);
  if (node.text == "true") return Scalar(true);
  if (node.text == "false") return Scalar(false);
  std::int64_t whole = 0;
  const char* last = node.text.data() + node.text.size();
  auto [end, error] = std::from_chars(node.text.data(), last, whole);
  if (error == std::errc{} && end == last) return Scalar(whole);
  if (auto value = number(node.text)) return Scalar(*value);
  return Scalar(node.text);
}

class ScalarsType final : public Type<Scalars> {
 public:
  Result<Scalars> read(const ConfigNode& node) const override {
    if (node.kind != ConfigNode::Kind::map) {
      return bad("names with values are expected, such as {temperature: 0.2}");
    }
    Scalars result;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const auto& key = node.keys[i].text;
      auto value = read_scalar(node.items[i]);
      if (!value) {
        return bad(fmt::format("{}: {}", quoted_for_message(key), value.error().message));
      }
      if (!result.emplace(key, std::move(*value)).second) {
        return bad(fmt::format("{} is given twice", quoted_for_message(key)));
      }
    }
    return result;
  }
  std::string write(const Scalars& value) const override {
    std::string text;
    for (const auto& [name, scalar] : value) {
      if (!text.empty()) text += ", ";
      text += fmt::format("{}: {}", json::quoted(name), to_json(scalar));
    }
    return "{" + text + "}";
  }
  std::string name() const override { return "names with values"; }
  std::string schema() const override {
    return R"("type":"object","additionalProperties":{"type":["boolean","number","string"]})";
  }
};

}  // namespace

std::string_view to_string(Balance value) { return name_in(Names<Balance>(kBalances), value); }
std::string_view to_string(StickyBy value) { return name_in(Names<StickyBy>(kStickyBys), value); }
std::string_view to_string(CachePolicy value) {
  return name_in(Names<CachePolicy>(kCachePolicies), value);
}
std::string_view to_string(Priority value) { return name_in(Names<Priority>(kPriorities), value); }

std::optional<Priority> parse_priority(std::string_view text) {
  for (const auto& [value, name] : kPriorities) {
    if (iequals(text, name)) return value;
  }
  return std::nullopt;
}

std::string to_json(const Scalar& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
  if (const auto* real = std::get_if<double>(&value)) return text_of(*real);
  return json::quoted(std::get<std::string>(value));
}

TypePtr<Balance> balance() { return std::make_shared<Named<Balance>>(kBalances); }
TypePtr<StickyBy> sticky_by() { return std::make_shared<Named<StickyBy>>(kStickyBys); }
TypePtr<CachePolicy> cache_policy() { return std::make_shared<Named<CachePolicy>>(kCachePolicies); }
TypePtr<Priority> priority() { return std::make_shared<Named<Priority>>(kPriorities); }
TypePtr<double> real(double least, double most) { return std::make_shared<Real>(least, most); }
TypePtr<std::optional<unsigned>> whole_or_default(unsigned least, unsigned most) {
  return std::make_shared<WholeOrDefault>(least, most);
}
TypePtr<Scalars> scalars() { return std::make_shared<ScalarsType>(); }

}  // namespace corral::config

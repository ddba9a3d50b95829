#include "models/core/range_answer.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace corral::models {
namespace {

using Kind = RangeVerdict::Kind;

std::optional<std::uint64_t> number(std::string_view text) {
  auto value = parse_int(text);
  if (!value || *value < 0 || text.starts_with('+')) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

struct ContentRange {
  std::optional<ByteRange> range;      // none: "*"
  std::optional<std::uint64_t> total;  // none: "*"
};

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!to_lower(text).starts_with("bytes ")) return std::nullopt;
  text = trim(text.substr(6));
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  ContentRange result;
  auto total = text.substr(slash + 1);
  if (total != "*") {
    result.total = number(total);
    if (!result.total) return std::nullopt;
  }
  auto range = text.substr(0, slash);
  if (range == "*") return result;
  auto dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  auto first = number(range.substr(0, dash));
  auto last = number(range.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  result.range = ByteRange{*first, *last + 1};
  return result;
}

RangeVerdict wrong(std::string why) {
  RangeVerdict verdict;
  verdict.kind = Kind::wrong;
  verdict.why = std::move(why);
  return verdict;
}

bool another(const RangeAsk& ask, std::string_view tag, std::optional<std::uint64_t> total) {
  if (!ask.tag.empty() && !tag.empty() && tag != ask.tag) return true;
  return ask.size && total && *total != *ask.size;
}

RangeVerdict judge_part(const RangeAsk& ask, const RangeHead& head, RangeVerdict verdict) {
  auto content = head.content_range ? parse_content_range(*head.content_range) : std::nullopt;
  if (!content || !content->range) return wrong("it does not say which bytes it sends");
  verdict.range = *content->range;
  verdict.total = content->total ? content->total : ask.size;
  if (!verdict.total) return wrong("it does not say how large the file is");
  if (another(ask, verdict.tag, verdict.total)) {
    verdict.kind = Kind::changed;
    return verdict;
  }
  if (verdict.range.begin != ask.range.begin || verdict.range.end > ask.range.end ||
      verdict.range.end > *verdict.total) {
    return wrong(fmt::format("it sends bytes {} to {} when asked for {} to {}", verdict.range.begin,
                             verdict.range.end, ask.range.begin, ask.range.end));
  }
  if (head.content_length && number(*head.content_length) != verdict.range.bytes()) {
    return wrong("its answer is not as long as the range that it names");
  }
  verdict.kind = Kind::part;
  return verdict;
}

}  // namespace

RangeVerdict judge(const RangeAsk& ask, const RangeHead& head) {
  RangeVerdict verdict;
  verdict.tag = head.tag.value_or("");
  if (head.status == 206) return judge_part(ask, head, std::move(verdict));
  if (head.status == 200) {
    if (head.content_length) verdict.total = number(*head.content_length);
    verdict.range = {0, verdict.total.value_or(0)};
    verdict.kind = another(ask, verdict.tag, verdict.total) ? Kind::changed : Kind::whole;
    return verdict;
  }
  if (head.status == 416) {
    // Nothing can be asked of an empty file; and a shorter one is another.
    auto content = head.content_range ? parse_content_range(*head.content_range) : std::nullopt;
    if (content) verdict.total = content->total;
    if (verdict.total == 0u && ask.size.value_or(0) == 0) {
      verdict.kind = Kind::part;
    } else if (ask.size) {
      verdict.kind = Kind::changed;
    }
  }
  return verdict;
}

bool is_strong_tag(std::string_view tag) {
  return tag.size() >= 2 && tag.front() == '"' && tag.back() == '"';
}

}  // namespace corral::models

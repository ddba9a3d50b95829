#include "models/core/ranges.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/bug.hpp"
#include "base/text.hpp"
#include "models/sha256.hpp"

namespace corral::models {

// --- sets ----------------------------------------------------------------------------------------

void RangeSet::add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto next = ends_.upper_bound(range.begin);
  if (next != ends_.begin()) {
    auto before = std::prev(next);
    if (before->second >= range.begin) {
      range.begin = before->first;
      range.end = std::max(range.end, before->second);
      next = ends_.erase(before);
    }
  }
  while (next != ends_.end() && next->first <= range.end) {
    range.end = std::max(range.end, next->second);
    next = ends_.erase(next);
  }
  ends_.emplace_hint(next, range.begin, range.end);
}

void RangeSet::remove(ByteRange range) {
  if (range.begin >= range.end) return;
  auto next = ends_.upper_bound(range.begin);
  if (next != ends_.begin()) --next;
  while (next != ends_.end() && next->first < range.end) {
    auto [begin, end] = *next;
    if (end <= range.begin) {
      ++next;
      continue;
    }
    next = ends_.erase(next);
    if (begin < range.begin) ends_.emplace(begin, range.begin);
    if (end > range.end) next = ends_.emplace(range.end, end).first;
  }
}

std::uint64_t RangeSet::bytes() const {
  std::uint64_t sum = 0;
  for (auto [begin, end] : ends_) sum += end - begin;
  return sum;
}

std::uint64_t RangeSet::contiguous() const {
  if (ends_.empty() || ends_.begin()->first != 0) return 0;
  return ends_.begin()->second;
}

std::optional<ByteRange> RangeSet::first() const {
  if (ends_.empty()) return std::nullopt;
  return ByteRange{ends_.begin()->first, ends_.begin()->second};
}

std::vector<ByteRange> RangeSet::ranges() const {
  std::vector<ByteRange> all;
  all.reserve(ends_.size());
  for (auto [begin, end] : ends_) all.push_back({begin, end});
  return all;
}

// --- the plan ------------------------------------------------------------------------------------

RangePlan::RangePlan(std::uint64_t size) : size_(size) { open_.add({0, size}); }

void RangePlan::restore(std::span<const ByteRange> done) {
  for (ByteRange range : done) {
    range.end = std::min(range.end, size_);
    done_.add(range);
    open_.remove(range);
  }
}

Piece RangePlan::give(ByteRange range) {
  unsigned id = next_id_++;
  given_[id] = {range.begin, range.end};
  return {id, range.begin, range.end};
}

std::optional<Piece> RangePlan::take(std::uint64_t most) {
  auto open = open_.first();
  if (!open) return split_longest();
  ByteRange range = *open;
  range.end = std::min(range.end, range.begin + std::max<std::uint64_t>(most, 1));
  open_.remove(range);
  return give(range);
}

std::optional<Piece> RangePlan::split_longest() {
  auto longest = std::ranges::max_element(given_, {}, [](const auto& each) {
    return each.second.end - std::min(each.second.at, each.second.end);
  });
  if (longest == given_.end()) return std::nullopt;
  Given& from = longest->second;
  std::uint64_t left = from.end - std::min(from.at, from.end);
  if (left < 2 * kLeastShare) return std::nullopt;
  ByteRange second{from.at + left / 2, from.end};
  from.end = second.begin;
  return give(second);
}

std::uint64_t RangePlan::end_of(unsigned id) const {
  auto found = given_.find(id);
  return found == given_.end() ? 0 : found->second.end;
}

void RangePlan::wrote(unsigned id, ByteRange range) {
  auto found = given_.find(id);
  if (found == given_.end() || range.begin != found->second.at || range.end > size_) {
    BUG("bytes were written that were not asked for");
    return;
  }
  // Past its end when the piece was split while they were on their way: they are no less there.
  found->second.at = range.end;
  done_.add(range);
  open_.remove(range);
}

void RangePlan::give_back(unsigned id) {
  auto found = given_.find(id);
  if (found == given_.end()) return;
  ByteRange rest{found->second.at, found->second.end};
  given_.erase(found);
  open_.add(rest);
  for (ByteRange range : done_.ranges()) open_.remove(range);
}

// --- hashing -------------------------------------------------------------------------------------

bool HashOrder::claim(std::uint64_t begin) {
  if (busy_ || begin != at_) return false;
  busy_ = true;
  return true;
}

std::optional<ByteRange> HashOrder::claim_next(std::uint64_t contiguous, std::uint64_t most) {
  if (busy_ || contiguous <= at_) return std::nullopt;
  busy_ = true;
  return ByteRange{at_, std::min(contiguous, at_ + most)};
}

void HashOrder::release(std::uint64_t hashed_up_to) {
  at_ = hashed_up_to;
  busy_ = false;
}

// --- the journal ---------------------------------------------------------------------------------

namespace {

constexpr std::string_view kTitle = "corral ranges 1";

std::string digest_of(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.digest();
}

constexpr std::size_t kMostRanges = 1u << 16;

Error torn(const char* why) {
  return fail(ErrorCode::invalid_argument,
              fmt::format("the record of what was fetched is damaged: {}", why));
}

Result<std::uint64_t> count(std::string_view text) {
  CORRAL_TRY(auto number, parse_int(text));
  if (number < 0) return torn("a number is negative");
  return static_cast<std::uint64_t>(number);
}

Result<void> read_line(RangeJournal& journal, std::string_view line) {
  auto space = line.find(' ');
  if (space == std::string_view::npos) return torn("a line is cut");
  auto key = line.substr(0, space);
  auto rest = line.substr(space + 1);
  if (key == "size") {
    CORRAL_TRY(journal.size, count(rest));
  } else if (key == "tag") {
    journal.tag = rest;
  } else if (key == "done") {
    auto words = split(rest, ' ');
    if (words.size() != 2) return torn("a range is not two numbers");
    CORRAL_TRY(auto begin, count(words[0]));
    CORRAL_TRY(auto end, count(words[1]));
    std::uint64_t last = journal.done.empty() ? 0 : journal.done.back().end;
    if (begin >= end || begin < last || end > journal.size) return torn("a range is out of place");
    if (journal.done.size() == kMostRanges) return torn("there are too many ranges");
    journal.done.push_back({begin, end});
  } else {
    return torn("a line is unknown");
  }
  return {};
}

}  // namespace

std::string to_text(const RangeJournal& journal) {
  std::string text = fmt::format("{}\nsize {}\n", kTitle, journal.size);
  bool plain = std::ranges::all_of(journal.tag, [](char c) { return c >= ' ' && c != 0x7f; });
  if (!journal.tag.empty() && plain) text += fmt::format("tag {}\n", journal.tag);
  for (ByteRange range : journal.done) text += fmt::format("done {} {}\n", range.begin, range.end);
  return text + fmt::format("sum {}\n", digest_of(text));
}

Result<RangeJournal> parse_range_journal(std::string_view text) {
  auto sum = text.rfind("sum ");
  if (sum == std::string_view::npos || sum == 0 || text[sum - 1] != '\n' ||
      text.substr(sum) != fmt::format("sum {}\n", digest_of(text.substr(0, sum)))) {
    return torn("its checksum is wrong");
  }
  auto lines = split(text.substr(0, sum - 1), '\n');
  if (lines.front() != kTitle) return torn("it is of another version");
  RangeJournal journal;
  for (std::size_t i = 1; i < lines.size(); ++i) CORRAL_CHECK(read_line(journal, lines[i]));
  return journal;
}

}  // namespace corral::models

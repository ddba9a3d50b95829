// What sources and the disk may say about a download: notes and records come back as they were
// written, an answer is never taken for other bytes than were asked for, and no reference or URL
// passes that leads elsewhere than it says.
#include <cstdint>
#include <string>
#include <string_view>

#include "models/core/range_answer.hpp"
#include "models/core/ranges.hpp"
#include "models/pull_record.hpp"
#include "models/sources/hugging_face.hpp"
#include "models/sources/ollama.hpp"
#include "models/sources/quantization.hpp"
#include "models/web.hpp"

namespace {

using namespace corral::models;

void check(bool holds) {
  if (!holds) __builtin_trap();
}

void try_answer(std::string_view text) {
  RangeAsk ask{{10, 20}, 100, "\"t\""};
  auto verdict = judge(ask, {206, text, "10", "\"t\""});
  if (verdict.kind == RangeVerdict::Kind::part) {
    check(verdict.range.begin == 10 && verdict.range.end <= 20 && verdict.total == 100u);
  }
}

void try_documents(std::string_view text) {
  if (auto note = parse_range_journal(text)) {
    check(*parse_range_journal(to_text(*note)) == *note);
    std::uint64_t last = 0;
    for (auto range : note->done) {
      check(range.begin >= last && range.begin < range.end && range.end <= note->size);
      last = range.end;
    }
  }
  if (auto record = parse_pull_record(text)) {
    check(is_pull_id(record->id));
    check(to_text(*parse_pull_record(to_text(*record))) == to_text(*record));
  }
}

void try_names(std::string_view text) {
  if (auto url = split_url(text)) {
    check(url->path.starts_with('/') && url->path.find_first_of("# \r\n") == std::string::npos);
    if (auto next = resolve_url("https://host/a/b", text)) check(!next->empty());
  }
  if (auto hub = parse_hub_reference(text)) {
    check(hub->repository.find("..") == std::string::npos);
    check(hub->wanted.find('\n') == std::string::npos);
  }
  if (auto registry = parse_registry_reference(text)) {
    check(registry->name.find('/') == std::string::npos && !registry->tag.empty());
  }
  (void)bits_of(quantization_of(text));
  if (check_file_name(text)) check(text.find('/') == std::string_view::npos && text != "..");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  try_answer(text);
  try_documents(text);
  try_names(text);
  return 0;
}

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/text.hpp"
#include "sys/devices.hpp"
#include "sys/nvml_linux.hpp"

namespace corral::sys {
namespace {

constexpr std::size_t kMostText = 4096;  // of what a file of sysfs says
constexpr std::size_t kMostEntries = 4096;

// What a file says, at most kMostText of it; empty when it cannot be read.
std::string content(const Path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string out(kMostText, '\0');
  file.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return out;
}

std::optional<std::uint64_t> number(const Path& path) {
  const std::string text = content(path);
  const auto value = parse_int(trim(text));
  if (!value || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

// The folders `<prefix><digits>` below `folder`, by number.
std::vector<std::pair<unsigned, Path>> numbered(const Path& folder, std::string_view prefix) {
  std::vector<std::pair<unsigned, Path>> out;
  std::error_code failed;
  std::filesystem::directory_iterator entry(folder, failed);
  for (; !failed && entry != std::filesystem::directory_iterator() && out.size() < kMostEntries;
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const auto value = parse_int(std::string_view(name).substr(prefix.size()));
    if (value && *value >= 0 && *value < 1'000'000) {
      out.emplace_back(static_cast<unsigned>(*value), entry->path());
    }
  }
  std::ranges::sort(out);
  return out;
}

// Of "KEY=value" lines.
std::string value_of(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == '=') {
      return std::string(trim(line.substr(key.size() + 1)));
    }
  }
  return {};
}

void add_amd(const Path& root, Devices& out) {
  constexpr std::string_view kVendor = "0x1002";
  std::vector<AcceleratorFacts> found;
  for (const auto& [number_of_card, card] : numbered(root / "sys/class/drm", "card")) {
    const Path device = card / "device";
    if (trim(content(device / "vendor")) != kVendor) continue;
    AcceleratorFacts facts;
    facts.kind = AcceleratorKind::amd;
    const auto total = number(device / "mem_info_vram_total");
    if (!total || !possible_memory(*total)) {
      out.problems.push_back("an AMD device (card" + std::to_string(number_of_card) +
                             ") does not say how much memory it has");
      continue;
    }
    facts.memory_total = *total;
    const std::uint64_t used = number(device / "mem_info_vram_used").value_or(0);
    facts.memory_free = *total - std::min(*total, used);
    const auto busy = number(device / "gpu_busy_percent");
    if (busy && *busy <= 100) facts.busy_percent = static_cast<int>(*busy);
    facts.name = one_line(content(device / "product_name"));
    if (facts.name.empty()) facts.name = "AMD GPU";
    facts.id = one_line(value_of(content(device / "uevent"), "PCI_SLOT_NAME"));
    if (facts.id.empty()) facts.id = "card" + std::to_string(number_of_card);
    found.push_back(std::move(facts));
  }
  std::ranges::sort(found, {}, &AcceleratorFacts::id);
  for (unsigned i = 0; i < found.size(); ++i) {
    found[i].index = i;
    out.accelerators.push_back(std::move(found[i]));
  }
}

// "0-3,8" is five; what makes no sense counts for nothing.
unsigned count_cpus(std::string_view list) {
  std::uint64_t count = 0;
  for (std::string_view part : split(trim(list), ',')) {
    const auto dash = part.find('-');
    const auto first = parse_int(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_int(part.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last > 1'000'000) continue;
    count += static_cast<std::uint64_t>(*last - *first + 1);
  }
  return static_cast<unsigned>(std::min<std::uint64_t>(count, 1'000'000));
}

// "Node 0 MemTotal:  123 kB".
std::uint64_t node_bytes(std::string_view text, std::string_view label) {
  for (std::string_view line : split(text, '\n')) {
    const auto at = line.find(label);
    if (at == std::string_view::npos) continue;
    std::string_view value = trim(line.substr(at + label.size()));
    if (value.ends_with(" kB")) value.remove_suffix(3);
    const auto kilobytes = parse_int(trim(value));
    if (!kilobytes || *kilobytes < 0 || *kilobytes > (1ll << 50)) return 0;
    return static_cast<std::uint64_t>(*kilobytes) * 1024;
  }
  return 0;
}

void add_nodes(const Path& root, Devices& out) {
  for (const auto& [number_of_node, folder] : numbered(root / "sys/devices/system/node", "node")) {
    const std::string memory = content(folder / "meminfo");
    MemoryNode node;
    node.number = number_of_node;
    node.memory_total = node_bytes(memory, "MemTotal:");
    node.memory_free = std::min(node.memory_total, node_bytes(memory, "MemFree:"));
    node.cpus = count_cpus(content(folder / "cpulist"));
    out.nodes.push_back(node);
  }
}

}  // namespace

bool possible_memory(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = 1ull << 46;  // 64 TiB
  return bytes > 0 && bytes <= kMost;
}

std::string one_line(std::string_view text) {
  constexpr std::size_t kMost = 96;
  std::string out;
  for (const char c : trim(text)) {
    if (c == '\n' || out.size() == kMost) break;
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7F ? '?' : c;
  }
  return out;
}

Devices devices(const DeviceSources& sources) {
  Devices out;
  add_nvidia(sources.nvml, out);
  add_amd(sources.root, out);
  add_nodes(sources.root, out);
  return out;
}

}  // namespace corral::sys

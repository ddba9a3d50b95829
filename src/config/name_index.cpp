#include "config/name_index.hpp"

#include <algorithm>
#include <functional>

#include "base/text.hpp"
#include "config/config.hpp"

namespace corral::config {
namespace {

constexpr std::string_view kLatest = ":latest";

std::optional<NameIndex::Id> at(const CaselessMap<NameIndex::Id>& map, std::string_view name) {
  auto found = map.find(name);
  return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

std::size_t CaselessHash::operator()(std::string_view text) const noexcept {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    hash = (hash ^ byte) * 0x100000001b3;
  }
  return static_cast<std::size_t>(hash);
}

bool CaselessEqual::operator()(std::string_view a, std::string_view b) const noexcept {
  return iequals(a, b);
}

bool NameIndex::add(std::string_view name, Id id) {
  if (!is_wildcard(name)) return names_.emplace(name, id).second;
  name.remove_suffix(1);
  if (!prefixes_.emplace(name, id).second) return false;
  auto place = std::ranges::lower_bound(lengths_, name.size(), std::greater());
  if (place == lengths_.end() || *place != name.size()) lengths_.insert(place, name.size());
  return true;
}

std::optional<NameIndex::Id> NameIndex::owner(std::string_view name) const {
  if (!is_wildcard(name)) return at(names_, name);
  return at(prefixes_, name.substr(0, name.size() - 1));
}

std::optional<NameIndex::Id> NameIndex::plain(std::string_view name) const {
  if (auto id = at(names_, name)) return id;
  if (name.size() <= kLatest.size()) return std::nullopt;
  std::string_view stem = name.substr(0, name.size() - kLatest.size());
  return iequals(name.substr(stem.size()), kLatest) ? at(names_, stem) : std::nullopt;
}

std::optional<NameIndex::Found> NameIndex::find(std::string_view name) const {
  if (auto id = plain(name)) return Found{*id, {}};
  for (std::size_t length : lengths_) {
    if (length >= name.size()) continue;  // a '*' stands for one character at least
    if (auto id = at(prefixes_, name.substr(0, length))) return Found{*id, name.substr(length)};
  }
  return std::nullopt;
}

}  // namespace corral::config

// Finds what a public model name stands for, as clients write it: without case, with ":latest" left
// off, and by wildcards, of which the longest counts. Looking up allocates nothing.
//
// Thread rule: immutable once filled; then any thread may look up.
// Example:
//   NameIndex names;
//   names.add("openai/*", 0);
//   names.find("OpenAI/gpt-4o")->matched;  // "gpt-4o"
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace corral::config {

// Without case (ASCII).
struct CaselessHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept;
};
struct CaselessEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const noexcept;
};
template <class T>
using CaselessMap = std::unordered_map<std::string, T, CaselessHash, CaselessEqual>;

class NameIndex {
 public:
  using Id = std::uint32_t;
  struct Found {
    Id id = 0;
    std::string_view matched;  // of the name looked up: what the '*' stood for; empty without one
  };

  // False when the name is taken; it stays with its first owner.
  bool add(std::string_view name, Id id);

  // The owner of just this name, which may be a wildcard.
  std::optional<Id> owner(std::string_view name) const;

  std::optional<Found> find(std::string_view name) const;

 private:
  std::optional<Id> plain(std::string_view name) const;

  CaselessMap<Id> names_;
  CaselessMap<Id> prefixes_;          // of wildcards, without the '*'
  std::vector<std::size_t> lengths_;  // that prefixes have, longest first
};

}  // namespace corral::config

// What the catalog says about a model that was fetched or made here. Immutable values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/clock.hpp"

namespace corral::models {

enum class FileRole {
  weights,
  projector,
  adapter,
  chat_template,
  license,
  parameters,
  system_prompt,
  messages,  // of a conversation that stands before each
};
std::string_view to_string(FileRole role);
std::optional<FileRole> parse_file_role(std::string_view text);

// One file of a version. Its bytes are a blob; several names and versions may share it.
struct CatalogFile {
  FileRole role = FileRole::weights;
  std::string name;    // as its source calls it: "Llama-3.2-1B-Q4_K_M-00001-of-00002.gguf"
  std::string digest;  // "sha256:" and 64 lower-case hexadecimal digits
  std::uint64_t bytes = 0;

  bool operator==(const CatalogFile&) const = default;
};

// One version of a named model, as it is put into the catalog. Weights stand in the order in which
// the engine wants the parts.
struct ModelVersion {
  std::string name;      // "llama3.2:3b", "hf.co/owner/repo:Q4_K_M"
  std::string origin;    // where it came from, a reference that can be pulled again; empty: local
  std::string revision;  // there: a commit, a manifest's digest; may be empty
  std::string license;   // "apache-2.0"; may be empty
  std::vector<CatalogFile> files;
  std::string author;  // who asked for it
  sys::Wall added;
};

}  // namespace corral::models

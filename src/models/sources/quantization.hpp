// Which of the files of a repository belong together, and which of several quantizations is meant.
// No I/O. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace corral::models {

// "Llama-3.2-1B-Instruct-Q4_K_M.gguf" -> "Q4_K_M"; "model-UD-Q4_K_XL-00001-of-00002.gguf" ->
// "UD-Q4_K_XL"; empty when the name tells none.
std::string quantization_of(std::string_view file_name);

// About how many bits a weight takes; nothing for an unknown name.
std::optional<double> bits_of(std::string_view quantization);

// One model among the files of a repository: a GGUF file, or the parts of a split one in order.
struct FileGroup {
  std::string quantization;        // may be empty
  std::vector<std::size_t> files;  // indices into the paths given
};

struct RepositoryFiles {
  std::vector<FileGroup> models;
  std::vector<std::size_t> projectors;
};

// `paths` as the repository names them. Split models that lack a part are left out.
RepositoryFiles group_files(std::span<const std::string> paths);

// The model that `wanted` means: a quantization in any case, a file's path, or empty for Q4_K_M or
// what is nearest to it. not_found names what there is; conflict: several fit.
Result<FileGroup> choose_group(const RepositoryFiles& files, std::span<const std::string> paths,
                               std::string_view wanted);

// The projector to go with it: half precision before full, and that before quantized ones.
std::optional<std::size_t> choose_projector(const RepositoryFiles& files,
                                            std::span<const std::string> paths);

}  // namespace corral::models

// The Hugging Face hub (huggingface.co/docs/hub/api): "OWNER/REPOSITORY", and then nothing,
// ":QUANTIZATION" or "/path/file.gguf", and "@REVISION" at the end.
// Thread rule: as Source.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "models/sources/source.hpp"
#include "models/web.hpp"

namespace corral::models {

struct HubReference {
  std::string repository;  // "owner/repo"
  std::string wanted;      // a quantization or a file's path; may be empty
  std::string revision;    // a branch, tag or commit; empty: main
};
// invalid_argument with a hint.
Result<HubReference> parse_hub_reference(std::string_view text);

// `base` without a slash at its end: "https://huggingface.co". `token` may be empty.
std::unique_ptr<Source> hugging_face(Web& web, std::string base, std::string token);

}  // namespace corral::models

#include "models/catalog_types.hpp"

#include <array>

namespace corral::models {
namespace {

constexpr std::array kRoles = {FileRole::weights,       FileRole::projector, FileRole::adapter,
                               FileRole::chat_template, FileRole::license,   FileRole::parameters,
                               FileRole::system_prompt, FileRole::messages};

}  // namespace

std::string_view to_string(FileRole role) {
  switch (role) {
    case FileRole::weights: return "weights";
    case FileRole::projector: return "projector";
    case FileRole::adapter: return "adapter";
    case FileRole::chat_template: return "chat_template";
    case FileRole::license: return "license";
    case FileRole::parameters: return "parameters";
    case FileRole::system_prompt: return "system_prompt";
    case FileRole::messages: return "messages";
  }
  return "unknown";
}

std::optional<FileRole> parse_file_role(std::string_view text) {
  for (FileRole role : kRoles) {
    if (to_string(role) == text) return role;
  }
  return std::nullopt;
}

}  // namespace corral::models

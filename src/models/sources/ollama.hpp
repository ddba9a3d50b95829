// The Ollama library and registries like it (registry API v2, manifests of
// application/vnd.docker.distribution.manifest.v2+json): "NAME:TAG", "OWNER/NAME:TAG".
// Thread rule: as Source.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "models/sources/source.hpp"
#include "models/web.hpp"

namespace corral::models {

struct RegistryReference {
  std::string owner = "library";
  std::string name;
  std::string tag = "latest";
};
// invalid_argument with a hint.
Result<RegistryReference> parse_registry_reference(std::string_view text);

// `prefix` goes before the names in the catalog and the references: "", or "registry.host/".
std::unique_ptr<Source> ollama_registry(Web& web, std::string base, std::string prefix);

}  // namespace corral::models

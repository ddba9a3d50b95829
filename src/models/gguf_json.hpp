// What a GGUF file says about its model, as JSON for the database: everything but the list of its
// tensors. Written by one version of this program it may be read by another; what an older or newer
// one wrote differently is not taken, and the file is read again.
//
// Thread rule: pure functions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "models/gguf.hpp"

namespace corral::models {

// Count up when GgufMetadata or what the reader makes of a file changes.
inline constexpr int kMetadataFormat = 2;

std::string to_json(const GgufMetadata& metadata);

// Null when `text` is of another format or not whole.
std::shared_ptr<const GgufMetadata> metadata_from_json(std::string_view text);

}  // namespace corral::models

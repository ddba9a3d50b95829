// The form in which a kept answer is handed from one Corral process to another: versioned, so that
// different releases may share a level, and checked byte by byte when it comes back.
//
// Thread rule: pure functions.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/core/answer_cache.hpp"

namespace corral::gateway {

using WallTime = std::chrono::system_clock::time_point;

std::string pack_answer(const KeptAnswer& answer, WallTime made);

struct UnpackedAnswer {
  KeptAnswer answer;
  WallTime made;
};
// Nothing for another version, a size that does not fit, or a content type that is none.
std::optional<UnpackedAnswer> unpack_answer(std::string_view bytes);

}  // namespace corral::gateway

// What `recommend` looks at, from what is known of models here and at their sources.
//
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "models/core/recommend.hpp"
#include "models/model_list.hpp"
#include "models/sources/source.hpp"

namespace corral::models {

// "3.2B" -> 3200000000; 0 when it says no number.
std::uint64_t parse_parameters(std::string_view text);

// Nothing for one that cannot be used.
std::optional<Candidate> candidate_of(const ModelEntry& entry);
// Nothing where neither its size nor its parameters are known. Where only the parameters are, it is
// taken to come at Q4_K_M, as a pull would choose.
std::optional<Candidate> candidate_of(const RemoteInfo& info);

}  // namespace corral::models

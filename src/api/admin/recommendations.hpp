// Which models suit this machine, as the admin surface says it.
// Thread rule: pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>

#include "models/candidates.hpp"
#include "models/pulls.hpp"
#include "scheduler/outlook.hpp"

namespace corral::api::admin {

inline constexpr std::string_view kHere = "here";  // as a source: what is here already
inline constexpr std::size_t kSearched = 50;       // models of each source

struct RecommendWish {
  std::string words;      // all of them are in the name
  bool here = true;       // what is here, too
  std::size_t most = 20;  // models
};

// Of what is here and what was found, those that fit, best first; and if none does, why not and
// what would.
boost::json::object recommendations(const models::FoundModels& found,
                                    const scheduler::Outlook& outlook, const RecommendWish& wish);

// One model: whether it fits, and how. Null where too little is known of it.
boost::json::value describe_fit(const std::optional<models::Candidate>& candidate,
                                const scheduler::Outlook& outlook);

}  // namespace corral::api::admin

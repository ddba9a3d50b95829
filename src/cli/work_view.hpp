// How long which work takes at the targets of a route, as a table for people.
//
// Thread rule: a pure function.
#pragma once

#include <boost/json/fwd.hpp>

#include <string>

#include "cli/display.hpp"

namespace corral::cli {

// Empty while nothing was learned.
std::string render_work(const boost::json::value& route, const Paint& paint);

}  // namespace corral::cli

// Waiting for a model to be loaded, with a line that says how it comes along.
// Thread rule: one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "cli/commands.hpp"

namespace corral::cli {

// Loads the model `name`, and shows on standard error, a terminal, how far it is. `what` is it for
// people: "llama (4.1 GiB)".
Outcome<void> load_and_show(Context& context, std::string_view name, std::string_view what);

// "loading llama (4.1 GiB) ... (12 s of about 20)", of an operation's document.
std::string render_load(std::string_view what, const boost::json::value& operation);

}  // namespace corral::cli

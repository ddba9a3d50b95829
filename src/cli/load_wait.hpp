// Waiting for a model to be loaded, with a line that says how it comes along.
// Thread rule: one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "cli/commands.hpp"

namespace corral::cli {

// Makes sure that the model `name` exists and, when its engine is ours to start, that it is loaded.
// A terminal on standard error shows meanwhile how far it is.
Outcome<void> prepare_model(Context& context, const std::string& name);

// "loading llama (4.1 GiB) ... (12 s of about 20)", of an operation's document.
std::string render_load(std::string_view what, const boost::json::value& operation);

}  // namespace corral::cli

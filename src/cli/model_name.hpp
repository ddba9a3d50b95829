// Models by any of their names: the admin routes know them by their own, people also by the others.
// Thread rule: one thread.
#pragma once

#include <functional>
#include <string>

#include "cli/commands.hpp"

namespace corral::cli {

// What `ask` answers for `name`, or, when there is no model of that name, for the model that has it
// as another name. When there is none either: what `ask` said, with a hint that names close ones.
Outcome<std::string> by_any_name(
    Context& context, const std::string& name,
    const std::function<Outcome<std::string>(const std::string&)>& ask);

// The description of the model, JSON.
Outcome<std::string> describe_model(Context& context, const std::string& name);

}  // namespace corral::cli

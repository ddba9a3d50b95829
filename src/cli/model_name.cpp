#include "cli/model_name.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>

#include "base/text.hpp"
#include "cli/json_view.hpp"

namespace corral::cli {

namespace {

// The own name of the model that is also called `name`, else `missing` with a hint.
Outcome<std::string> find_alias(Context& context, const std::string& name, Failure missing) {
  CORRAL_TRY(std::string body, context.api.models());
  boost::json::value document = parse_or_null(body);
  std::vector<std::string> names;
  for (const boost::json::value& model : list_of(document, "models")) {
    names.emplace_back(text_of(model, "name"));
    for (const boost::json::value& alias : list_of(model, "aliases")) {
      if (alias.is_string() && std::string_view(alias.get_string()) == name) return names.back();
    }
  }
  if (missing.hint.empty()) {
    auto close = nearest(name, names, 3);
    missing.hint = close.empty() ? "see the models with: corral list"
                                 : fmt::format("did you mean {}?", join(close, ", "));
  }
  return std::unexpected(std::move(missing));
}

}  // namespace

Outcome<std::string> by_any_name(
    Context& context, const std::string& name,
    const std::function<Outcome<std::string>(const std::string&)>& ask) {
  auto answer = ask(name);
  if (answer || answer.error().exit != ExitCode::not_found) return answer;
  CORRAL_TRY(std::string real_name, find_alias(context, name, std::move(answer.error())));
  return ask(real_name);
}

Outcome<std::string> describe_model(Context& context, const std::string& name) {
  return by_any_name(context, name,
                     [&](const std::string& each) { return context.api.model(each); });
}

}  // namespace corral::cli

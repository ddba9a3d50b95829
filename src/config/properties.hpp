// The table of properties: for each its path, type, documentation, when a change applies, and where
// its value lies in Settings. Parser, schema, documents, export and diff are loops over it.
// The default of a property is the initial value of its member (settings.hpp).
// Thread rule: immutable.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "config/types.hpp"

namespace corral::config {

enum class Applies { on_reload, after_restart };

// A value within an Owner, its type forgotten.
template <class Owner>
struct Property {
  std::string path;
  std::string doc;
  Applies applies = Applies::on_reload;
  bool secret = false;
  std::string type_name;
  std::string type_schema;
  std::function<Result<void>(Owner&, const ConfigNode&)> assign;
  std::function<std::string(const Owner&)> write;  // JSON text; "***" for secrets
  std::function<bool(const Owner&, const Owner&)> same;
  std::function<bool(const Owner&)> is_empty;  // of a secret
};

const std::vector<Property<Settings>>& properties();                   // but for the two below
const std::vector<Property<ModelSettings>>& model_properties();        // models.settings.NAME.*
const std::vector<Property<EndpointSettings>>& endpoint_properties();  // endpoints[].*

inline constexpr std::string_view kModelsPath = "models.settings";
inline constexpr std::string_view kEndpointsPath = "endpoints";
inline constexpr std::string_view kModelsDoc =
    "What holds for single models, by name, over the defaults.";
inline constexpr std::string_view kEndpointsDoc = "Places that answer inference besides engines.";

// "server.api_key" -> "CORRAL_SERVER_API_KEY". What is no letter or digit becomes `_`.
std::string environment_name(std::string_view path);

}  // namespace corral::config

// The table of properties: for each its path, type, documentation, when a change applies, and where
// its value lies in Settings. Parser, schema, documents, export and diff are loops over it.
// The default of a property is the initial value of its member (settings.hpp).
//
// A property may hold a list of sections, or sections by name; a table of its own describes these
// (`elements`), and so on within them: routes[].targets[].weight.
// Thread rule: immutable.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/settings.hpp"
#include "config/types.hpp"

namespace corral::config {

class Reader;

enum class Applies { on_reload, after_restart };
enum class Shape { value, list, map };  // one value; a list of sections; sections by name

// What documents say of a property; needs no owner.
struct Description {
  std::string path;
  std::string doc;
  Applies applies = Applies::on_reload;
  bool secret = false;
  bool required = false;  // of a section in a list
  Shape shape = Shape::value;
  std::string type_name;
  std::string type_schema;
  std::string default_json;           // "\"***\"" for secrets
  std::vector<Description> elements;  // what is in a section of a list or map
};

// A value within an Owner, its type forgotten.
template <class Owner>
struct Property : Description {
  std::function<Result<void>(Owner&, const ConfigNode&)> assign;  // of a value
  std::function<std::string(const Owner&)> write;  // JSON; "***" for secrets, none in sections
  std::function<bool(const Owner&, const Owner&)> same;
  // Of a secret.
  std::function<bool(const Owner&)> is_empty;
  std::function<std::string(const Owner&)> reveal;  // JSON text of the secret itself
  // Of a list or map.
  std::function<void(Owner&, const ConfigNode&, const std::string& path, Reader&)> read_elements;
  std::function<void(std::string& out, const std::string& margin, const Owner&)> append_yaml;
  // Of those whose sections have names: what changed in which.
  std::function<void(const Owner& before, const Owner& after, const std::string& path,
                     std::vector<Change>&)>
      compare;
};

const std::vector<Property<Settings>>& properties();
const std::vector<Property<ModelSettings>>& model_properties();        // models.settings.NAME.*
const std::vector<Property<EndpointSettings>>& endpoint_properties();  // endpoints[].*
const std::vector<Property<RouteSettings>>& route_properties();        // routes[].*
const std::vector<Property<TargetSettings>>& target_properties();      // routes[].targets[].*

inline constexpr std::string_view kModelsPath = "models.settings";
inline constexpr std::string_view kEndpointsPath = "endpoints";

// "server.api_key" -> "CORRAL_SERVER_API_KEY". What is no letter or digit becomes `_`.
std::string environment_name(std::string_view path);

}  // namespace corral::config

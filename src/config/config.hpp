// The configuration: read, checked, explained and shown. One table of properties (properties.cpp)
// drives all of it.
//
// Precedence, lowest first: defaults, file, environment, command line. The environment variable of
// a property is CORRAL_ and its path in upper case with `_` (CORRAL_SERVER_API_KEY); a secret may
// also be read from a file (CORRAL_SERVER_API_KEY_FILE), and the key of an endpoint stands in
// CORRAL_ENDPOINTS_<NAME>_API_KEY. Lists are separated by commas there.
// Values of secrets appear in no error, no document and no export.
// Thread rule: pure functions.
// Example:
//   auto loaded = config::load({.text = text, .file_name = "corral.yaml"});
//   if (!loaded) std::puts(loaded.error().message.c_str());  // one line a problem
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "sys/files.hpp"

namespace corral::config {

struct Sources {
  std::string text;                                // of the file; empty: there is none
  std::string file_name = "corral.yaml";           // for messages; JSON when it ends in .json
  std::map<std::string, std::string> environment;  // all of it; others are ignored
  // path and value, as in --set server.threads=4
  std::vector<std::pair<std::string, std::string>> overrides;
  sys::Files* files = nullptr;  // reads CORRAL_..._FILE; without it such variables are errors
};

struct Loaded {
  Settings settings;
  std::vector<std::string> warnings;  // probable slips that are no errors
};

// invalid_argument with all problems, one a line: "corral.yaml:3: server.threads: 'many' is not a
// whole number (0 to 1024)". Never throws, whatever the text is.
Result<Loaded> load(const Sources& sources);

// Rules between properties; load() applies them. One problem each: the path and what is wrong.
struct Problem {
  std::string path;
  std::string message;
};
std::vector<Problem> validate(const Settings& settings);

// The part of validate() that is about endpoints and routes, for lists that come from elsewhere
// too. Paths are "endpoints[0].url" and "routes[0].targets[1].weight".
std::vector<Problem> validate_endpoints(std::span<const EndpointSettings> endpoints);
std::vector<Problem> validate_routes(std::span<const EndpointSettings> endpoints,
                                     std::span<const RouteSettings> routes);

// One element of `endpoints` or `routes`, as JSON or YAML. invalid_argument with all problems of
// the element alone, one a line, "SOURCE:LINE: targets[0].weight: ..."; `param` is the path of the
// first. What it says about others is for validate_routes().
// "***" as a secret keeps that of `before`; without one it is an error.
Result<RouteSettings> parse_route(std::string_view text, std::string_view source_name);
Result<EndpointSettings> parse_endpoint(std::string_view text, std::string_view source_name,
                                        const EndpointSettings* before = nullptr);

// As parse_...() reads it, all members written; "***" for a secret that is set.
std::string to_json(const RouteSettings& route);
std::string to_json(const EndpointSettings& endpoint);
// For storage: with secrets, and without members that have their default value.
std::string to_stored_json(const RouteSettings& route);
std::string to_stored_json(const EndpointSettings& endpoint);

// What a reload would change. Elements of maps and lists are named: "endpoints.office.url".
struct Change {
  std::string path;
  bool needs_restart = false;
};
std::vector<Change> diff(const Settings& before, const Settings& after);

std::string schema();   // JSON Schema, draft 2020-12
std::string docs();     // Markdown
std::string example();  // a corral.yaml with every property commented out
// All values as YAML, but for secrets: a comment says whether they are set.
std::string export_yaml(const Settings& settings);

// "HOST:PORT", IPv6 in brackets. A `?` at the end makes the address not required.
Result<ListenAddress> parse_listen_address(std::string_view text);
std::string to_string(const ListenAddress& address);
bool is_loopback(const ListenAddress& address);

// As in the configuration: "peak_ewma".
std::string_view to_string(Balance value);
std::string_view to_string(StickyBy value);
std::string_view to_string(CachePolicy value);
std::string_view to_string(Priority value);
std::optional<Priority> parse_priority(std::string_view text);  // of a header; without case
std::string to_json(const Scalar& value);

// How endpoints and routes rewrite names.
struct ServedModel {
  std::string_view name;     // public
  std::string_view backend;  // at the endpoint
};
ServedModel served_model(std::string_view entry);  // of EndpointSettings::models

// Whether `name` is a wildcard: ends in '*'.
inline bool is_wildcard(std::string_view name) { return name.ends_with('*'); }

}  // namespace corral::config

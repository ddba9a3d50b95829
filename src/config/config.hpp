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

}  // namespace corral::config

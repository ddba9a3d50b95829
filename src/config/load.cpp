#include <fmt/format.h>
#include <set>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/node.hpp"
#include "config/properties.hpp"

namespace corral::config {
namespace {

constexpr std::size_t kMostProblems = 50;
constexpr std::uint64_t kMostSecretBytes = 64 * 1024;

template <class Owner>
const Property<Owner>* find(const std::vector<Property<Owner>>& table, std::string_view path) {
  auto found = std::ranges::find(table, path, &Property<Owner>::path);
  return found == table.end() ? nullptr : &*found;
}

template <class Owner>
std::vector<std::string> paths_of(const std::vector<Property<Owner>>& table,
                                  std::string_view prefix) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const auto& each : table) names.push_back(fmt::format("{}{}", prefix, each.path));
  return names;
}

std::string joined(std::string_view prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
}

// Collects values and problems from all sources, then the verdict.
class Loader {
 public:
  explicit Loader(const Sources& sources) : sources_(sources) {}

  Result<Loaded> run() {
    if (!sources_.text.empty()) {
      CORRAL_TRY(auto root, parse_document(sources_.text, sources_.file_name));
      read_file(root);
    }
    read_environment();
    read_overrides();
    for (const auto& problem : validate(loaded_.settings)) {
      report(place_of(problem.path), fmt::format("{}: {}", problem.path, problem.message));
    }
    if (problems_.empty()) return std::move(loaded_);
    return fail(ErrorCode::invalid_argument, all_problems());
  }

 private:
  // --- messages

  void report(const std::string& place, const std::string& what) {
    problems_.push_back(place.empty() ? what : fmt::format("{}: {}", place, what));
  }

  std::string in_file(int line) const { return fmt::format("{}:{}", sources_.file_name, line); }

  // Where the value of `path`, or of what holds it, came from; empty for defaults.
  std::string place_of(std::string path) const {
    for (;;) {
      if (auto found = places_.find(path); found != places_.end()) return found->second;
      auto cut = path.find_last_of(".[");
      if (cut == std::string::npos) return {};
      path.resize(cut);
    }
  }

  std::string all_problems() const {
    std::string text;
    for (std::size_t i = 0; i < std::min(problems_.size(), kMostProblems); ++i) {
      if (!text.empty()) text += '\n';
      text += problems_[i];
    }
    if (problems_.size() > kMostProblems) {
      text += fmt::format("\nand {} more", problems_.size() - kMostProblems);
    }
    return text;
  }

  void report_unknown(const std::string& place, const std::string& path,
                      std::span<const std::string> known) {
    auto near = nearest(path, known, 1);
    report(place, fmt::format("unknown key {}{}", quoted_for_message(path),
                              near.empty() ? std::string()
                                           : fmt::format("; did you mean '{}'?", near.front())));
  }

  // --- assigning

  template <class Owner>
  void assign(Owner& owner, const Property<Owner>& property, const std::string& path,
              const ConfigNode& node, const std::string& place) {
    places_[path] = place;
    auto done = property.assign(owner, node);
    if (done) return;
    // Texts of errors quote the value; that of a secret is quoted by none.
    report(place, fmt::format("{}: {}", path, done.error().message));
  }

  // --- the file

  void read_file(const ConfigNode& root) {
    if (root.kind == ConfigNode::Kind::null) return;
    if (root.kind != ConfigNode::Kind::map) {
      report(in_file(root.line), "keys and values are expected, such as 'server:'");
      return;
    }
    read_section(root, "");
  }

  // Reports keys that stand twice, and calls `use(key, value)` for the others.
  template <class Use>
  void for_each_key(const ConfigNode& map, std::string_view prefix, Use use) {
    std::map<std::string_view, int> lines;
    for (std::size_t i = 0; i < map.items.size(); ++i) {
      const Key& key = map.keys[i];
      auto [first, fresh] = lines.emplace(key.text, key.line);
      if (fresh) {
        use(key, map.items[i]);
      } else {
        report(in_file(key.line),
               fmt::format("{} is given twice (first in line {})",
                           quoted_for_message(joined(prefix, key.text)), first->second));
      }
    }
  }

  bool is_section(std::string_view path) const {
    std::string prefix = fmt::format("{}.", path);
    return std::ranges::any_of(properties(), [&](const Property<Settings>& each) {
      return each.path.starts_with(prefix);
    });
  }

  void read_section(const ConfigNode& map, const std::string& prefix) {
    for_each_key(map, prefix, [&](const Key& key, const ConfigNode& value) {
      std::string path = joined(prefix, key.text);
      std::string place = in_file(key.line);
      bool dotted = key.text.find('.') != std::string::npos;  // `server.threads: 4` at the top
      if (const auto* property = dotted ? nullptr : find(properties(), path)) {
        if (value.kind == ConfigNode::Kind::null) return;  // as if it was not there
        assign(loaded_.settings, *property, path, value, place);
      } else if (path == kModelsPath) {
        read_models(value, place);
      } else if (path == kEndpointsPath) {
        read_endpoints(value, place);
      } else if (!dotted && is_section(path)) {
        if (value.kind == ConfigNode::Kind::map) {
          read_section(value, path);
        } else if (value.kind != ConfigNode::Kind::null) {
          report(place, fmt::format("{}: a section with keys is expected", path));
        }
      } else {
        report_unknown_tree(key, value, path);
      }
    });
  }

  // An unknown section is reported by the keys in it, which say best what was meant.
  void report_unknown_tree(const Key& key, const ConfigNode& value, const std::string& path) {
    if (value.kind == ConfigNode::Kind::map && !value.items.empty()) {
      for (std::size_t i = 0; i < value.items.size(); ++i) {
        if (problems_.size() > kMostProblems) return;
        report_unknown_tree(value.keys[i], value.items[i], joined(path, value.keys[i].text));
      }
      return;
    }
    if (path.size() > 200) {  // nothing near, and not worth the search
      report(in_file(key.line), fmt::format("unknown key {}", quoted_for_message(path)));
      return;
    }
    auto known = paths_of(properties(), "");
    known.emplace_back(kModelsPath);
    known.emplace_back(kEndpointsPath);
    report_unknown(in_file(key.line), path, known);
  }

  template <class Owner>
  void read_element(Owner& owner, const std::vector<Property<Owner>>& table, const ConfigNode& map,
                    const std::string& prefix) {
    for_each_key(map, prefix, [&](const Key& key, const ConfigNode& value) {
      std::string path = joined(prefix, key.text);
      if (const auto* property = find(table, key.text)) {
        if (value.kind != ConfigNode::Kind::null) {
          assign(owner, *property, path, value, in_file(key.line));
        }
      } else {
        report_unknown(in_file(key.line), path, paths_of(table, prefix + "."));
      }
    });
  }

  void read_models(const ConfigNode& node, const std::string& place) {
    if (node.kind == ConfigNode::Kind::null) return;
    if (node.kind != ConfigNode::Kind::map) {
      report(place,
             fmt::format("{}: names of models with their settings are expected", kModelsPath));
      return;
    }
    for_each_key(node, kModelsPath, [&](const Key& key, const ConfigNode& value) {
      std::string path = joined(kModelsPath, key.text);
      places_[path] = in_file(key.line);
      auto& model = loaded_.settings.models.settings[key.text];
      if (value.kind == ConfigNode::Kind::map) {
        read_element(model, model_properties(), value, path);
      } else if (value.kind != ConfigNode::Kind::null) {
        report(in_file(key.line), fmt::format("{}: a section with keys is expected", path));
      }
    });
  }

  void read_endpoints(const ConfigNode& node, const std::string& place) {
    if (node.kind == ConfigNode::Kind::null) return;
    if (node.kind != ConfigNode::Kind::list) {
      report(place, fmt::format("{}: a list is expected, each with name, binding and url",
                                kEndpointsPath));
      return;
    }
    places_[std::string(kEndpointsPath)] = place;
    for (const ConfigNode& item : node.items) {
      auto& endpoints = loaded_.settings.endpoints;
      std::string path = fmt::format("{}[{}]", kEndpointsPath, endpoints.size());
      places_[path] = in_file(item.line);
      auto& endpoint = endpoints.emplace_back();
      if (item.kind == ConfigNode::Kind::map) {
        read_element(endpoint, endpoint_properties(), item, path);
      } else {
        report(in_file(item.line), fmt::format("{}: a section with keys is expected", path));
      }
    }
  }

  // --- the environment

  const std::string* variable(const std::string& name) {
    auto found = sources_.environment.find(name);
    if (found == sources_.environment.end()) return nullptr;
    known_variables_.insert(name);
    return &found->second;
  }

  template <class Owner>
  void read_variable(Owner& owner, const Property<Owner>& property, const std::string& path,
                     const std::string& name) {
    if (const auto* value = variable(name)) {
      assign(owner, property, path, outside_node(*value), "environment variable " + name);
    }
    if (!property.secret) return;
    std::string file_variable = name + "_FILE";
    const auto* file = variable(file_variable);
    if (file == nullptr) return;
    std::string place = "environment variable " + file_variable;
    if (sources_.files == nullptr) {
      report(place, "files are not read here");
      return;
    }
    auto content = sources_.files->read(*file, kMostSecretBytes);
    if (!content) {
      report(place, content.error().message);
      return;
    }
    assign(owner, property, path, outside_node(std::string(trim(*content))), place);
  }

  void read_environment() {
    for (const auto& property : properties()) {
      read_variable(loaded_.settings, property, property.path, environment_name(property.path));
    }
    const auto* key = find(endpoint_properties(), "api_key");
    auto& endpoints = loaded_.settings.endpoints;
    for (std::size_t i = 0; i < endpoints.size(); ++i) {
      if (endpoints[i].name.empty()) continue;
      std::string path = fmt::format("{}[{}].api_key", kEndpointsPath, i);
      std::string name = environment_name(fmt::format("endpoints.{}.api_key", endpoints[i].name));
      read_variable(endpoints[i], *key, path, name);
    }
    warn_of_slips();
  }

  // Unknown variables are no errors: others choose names that begin like ours, too.
  void warn_of_slips() {
    std::vector<std::string> names;
    for (const auto& property : properties()) names.push_back(environment_name(property.path));
    for (const auto& [name, value] : sources_.environment) {
      if (!name.starts_with("CORRAL_") || known_variables_.contains(name)) continue;
      if (auto near = nearest(name, names, 1); !near.empty()) {
        loaded_.warnings.push_back(
            fmt::format("environment variable {} means nothing to Corral; did you mean {}?",
                        quoted_for_message(name), near.front()));
      }
    }
  }

  // --- the command line

  static ConfigNode outside_node(std::string value) {
    return {.kind = ConfigNode::Kind::scalar, .text = std::move(value), .commas = true};
  }

  void read_overrides() {
    const std::string place = "command line";
    const std::string models_prefix = fmt::format("{}.", kModelsPath);
    for (const auto& [path, value] : sources_.overrides) {
      ConfigNode node = outside_node(value);
      if (const auto* property = find(properties(), path)) {
        assign(loaded_.settings, *property, path, node, place);
        continue;
      }
      auto dot = path.rfind('.');  // names of models may hold dots, those of properties do not
      if (path.starts_with(models_prefix) && dot > models_prefix.size()) {
        if (const auto* property = find(model_properties(), path.substr(dot + 1))) {
          std::string name = path.substr(models_prefix.size(), dot - models_prefix.size());
          assign(loaded_.settings.models.settings[name], *property, path, node, place);
          continue;
        }
      }
      report_unknown(place, path, paths_of(properties(), ""));
    }
  }

  const Sources& sources_;
  Loaded loaded_;
  std::map<std::string, std::string> places_;  // path -> where its value came from
  std::set<std::string> known_variables_;
  std::vector<std::string> problems_;
};

}  // namespace

Result<Loaded> load(const Sources& sources) { return Loader(sources).run(); }

}  // namespace corral::config

#include <fmt/core.h>
#include <set>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/node.hpp"
#include "config/properties.hpp"
#include "config/reader.hpp"

namespace corral::config {
namespace {

constexpr std::uint64_t kMostSecretBytes = 64 * 1024;

// Collects values and problems from all sources, then the verdict.
class Loader {
 public:
  explicit Loader(const Sources& sources) : sources_(sources), reader_(sources.file_name) {}

  Result<Loaded> run() {
    if (!sources_.text.empty()) {
      CORRAL_TRY(auto root, parse_document(sources_.text, sources_.file_name));
      read_file(root);
    }
    read_environment();
    read_overrides();
    for (const auto& problem : validate(loaded_.settings)) {
      report(reader_.place_of(problem.path), fmt::format("{}: {}", problem.path, problem.message));
    }
    if (reader_.problems().empty()) return std::move(loaded_);
    return fail(ErrorCode::invalid_argument, reader_.all_problems());
  }

 private:
  void report(const std::string& place, const std::string& what) { reader_.report(place, what); }
  std::string in_file(int line) const { return reader_.in_file(line); }

  // --- the file

  void read_file(const ConfigNode& root) {
    if (root.kind == ConfigNode::Kind::null) return;
    if (root.kind != ConfigNode::Kind::map) {
      report(in_file(root.line), "keys and values are expected, such as 'server:'");
      return;
    }
    read_section(root, "");
  }

  bool is_section(std::string_view path) const {
    std::string prefix = fmt::format("{}.", path);
    return std::ranges::any_of(properties(), [&](const Property<Settings>& each) {
      return each.path.starts_with(prefix);
    });
  }

  void read_section(const ConfigNode& map, const std::string& prefix) {
    reader_.for_each_key(map, prefix, [&](const Key& key, const ConfigNode& value) {
      std::string path = joined(prefix, key.text);
      std::string place = in_file(key.line);
      bool dotted = key.text.find('.') != std::string::npos;  // `server.threads: 4` at the top
      if (const auto* property = dotted ? nullptr : find(properties(), path)) {
        reader_.assign(loaded_.settings, *property, path, value, place);
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
        if (reader_.full()) return;
        report_unknown_tree(value.keys[i], value.items[i], joined(path, value.keys[i].text));
      }
      return;
    }
    reader_.report_unknown(in_file(key.line), path, paths_of(properties(), ""));
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
      reader_.assign(owner, property, path, outside_node(*value), "environment variable " + name);
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
    reader_.assign(owner, property, path, outside_node(std::string(trim(*content))), place);
  }

  void read_environment() {
    for (const auto& property : properties()) {
      if (property.shape != Shape::value) continue;
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
    for (const auto& property : properties()) {
      if (property.shape == Shape::value) names.push_back(environment_name(property.path));
    }
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

  static std::vector<std::string> value_paths() {
    std::vector<std::string> paths;
    for (const auto& property : properties()) {
      if (property.shape == Shape::value) paths.push_back(property.path);
    }
    return paths;
  }

  void read_overrides() {
    const std::string place = "command line";
    const std::string models_prefix = fmt::format("{}.", kModelsPath);
    for (const auto& [path, value] : sources_.overrides) {
      ConfigNode node = outside_node(value);
      if (const auto* property = find(properties(), path)) {
        if (property->shape == Shape::value) {
          reader_.assign(loaded_.settings, *property, path, node, place);
        } else {
          report(place, fmt::format("{}: sections can be given in the file only", path));
        }
        continue;
      }
      auto dot = path.rfind('.');  // names of models may hold dots, those of properties do not
      if (path.starts_with(models_prefix) && dot > models_prefix.size()) {
        if (const auto* property = find(model_properties(), path.substr(dot + 1))) {
          std::string name = path.substr(models_prefix.size(), dot - models_prefix.size());
          reader_.assign(loaded_.settings.models.settings[name], *property, path, node, place);
          continue;
        }
      }
      reader_.report_unknown(place, path, value_paths());
    }
  }

  const Sources& sources_;
  Loaded loaded_;
  Reader reader_;
  std::set<std::string> known_variables_;
};

}  // namespace

Result<Loaded> load(const Sources& sources) { return Loader(sources).run(); }

}  // namespace corral::config

// Feeds arbitrary text to the configuration loader, as YAML and as JSON, and as one endpoint and
// one route. What is taken must survive being written and read back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/config.hpp"

namespace config = corral::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"fuzz.yaml", "fuzz.json"}) {
    auto loaded = config::load({.text = text, .file_name = name});
    if (!loaded) {
      if (loaded.error().message.empty()) std::abort();
      continue;
    }
    auto again = config::load({.text = config::export_yaml(loaded->settings)});
    bool open_to_all = !loaded->settings.server.api_key.empty();  // the export leaves the key out
    if (!again && !open_to_all) std::abort();
  }
  if (auto route = config::parse_route(text, "fuzz")) {
    auto again = config::parse_route(config::to_stored_json(*route), "again");
    if (!again || !(*again == *route)) std::abort();
    if (!config::parse_route(config::to_json(*route), "shown")) std::abort();
  }
  if (auto endpoint = config::parse_endpoint(text, "fuzz")) {
    auto again = config::parse_endpoint(config::to_stored_json(*endpoint), "again");
    if (!again || !(*again == *endpoint)) std::abort();
  }
  return 0;
}

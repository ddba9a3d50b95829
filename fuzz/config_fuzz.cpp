// Feeds arbitrary text to the configuration loader, as YAML and as JSON. What loads must survive
// being exported and read back.
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
  return 0;
}

// All sources, and which one a reference means:
//   hf:OWNER/REPO...  hf.co/...  huggingface.co/...  https://huggingface.co/OWNER/REPO...
//   https://host/path/model.gguf        one file
//   FOLDER/MODEL                        when sources.folders names FOLDER
//   registry.host/OWNER/NAME:TAG        a registry like Ollama's
//   ollama:NAME:TAG  NAME:TAG  OWNER/NAME:TAG   the Ollama library
//
// Thread rule: belongs to its shard. Lifecycle: a reload makes new ones.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "models/sources/source.hpp"
#include "models/web.hpp"
#include "sys/files.hpp"

namespace corral::models {

class Sources {
 public:
  // invalid_argument: an entry of sources.folders, or an address, is malformed, or a file with a
  // token cannot be read.
  static Result<std::unique_ptr<Sources>> make(const config::SourcesSettings& settings,
                                               std::chrono::milliseconds silence,
                                               sys::Files& files);

  struct Found {
    std::shared_ptr<Source> source;
    std::string reference;  // as that source wants it
  };
  // invalid_argument with a hint when it can mean nothing.
  Result<Found> find(std::string_view reference);

  // Those that a search asks: Hugging Face and the folders.
  std::vector<std::shared_ptr<Source>> searchable() const;

  // By the name that people call it: hf, ollama, or as sources.folders does.
  struct Named {
    std::string name;
    std::string kind;  // hub, registry, folder
    std::shared_ptr<Source> source;
  };
  std::vector<Named> all() const;
  // not_found, naming those that there are.
  Result<Named> named(std::string_view name) const;
  Web& web() { return web_; }

 private:
  Sources(const config::SourcesSettings& settings, std::chrono::milliseconds silence)
      : web_(settings, silence) {}

  Web web_;
  std::shared_ptr<Source> hub_;
  std::shared_ptr<Source> ollama_;
  std::shared_ptr<Source> files_;
  std::vector<std::pair<std::string, std::shared_ptr<Source>>> folders_;
  std::string hub_base_;
};

}  // namespace corral::models

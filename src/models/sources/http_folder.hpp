// A folder on any HTTP server, with an index of its models; and single files by their URL.
//
// The index is `index.json` in the folder:
//   {"corral_index": 1,
//    "models": [{"name": "tiny", "license": "apache-2.0", "revision": "3", "description": "...",
//                "architecture": "llama", "parameters": "1.2B", "quantization": "Q4_K_M",
//                "files": [{"path": "tiny/model.gguf", "role": "weights", "size": 1234,
//                           "sha256": "<64 hexadecimal digits>"}]}]}
// `path` is below the folder of the index; `role` is one of weights (as when it is missing),
// projector, adapter, chat_template, license, parameters, system_prompt, messages; all but `name`
// and `path` may be missing. Another Corral with models.share has its folder at /share/v1, which is
// looked for where the address itself has no index.
//
// Thread rule: as Source.
#pragma once

#include <memory>
#include <string>

#include "models/sources/source.hpp"
#include "models/web.hpp"

namespace corral::models {

struct FolderPlace {
  std::string label;  // what the configuration calls it; models are "label/NAME"
  std::string url;    // of the folder; of another Corral also its root alone
  std::string token;  // sent to that origin; empty: none
};
std::unique_ptr<Source> http_folder(Web& web, FolderPlace place);

// "https://host/path/model.gguf"; "#sha256=<hex>" at the end names its checksum.
std::unique_ptr<Source> single_files(Web& web);

}  // namespace corral::models

// How llama-server is called: where its program is, its command line and its environment.
//
// Everything that matters is said explicitly, because the engine also reads LLAMA_ARG_* variables
// and its defaults are meant for a desktop (unified cache, 8 GiB of prompt cache, any Origin
// reflected, fitting by total memory). The key goes by environment, where other users cannot read
// it. Thread rule: free functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/settings.hpp"
#include "models/model_list.hpp"
#include "sys/files.hpp"

namespace corral::engines {

enum class Purpose { chat, embedding };
std::string_view to_string(Purpose purpose);

// What one instance runs.
struct InstanceSpec {
  std::string name;      // of the model: alias in the engine, field in logs
  sys::Path model_file;  // the first part of a split model
  Purpose purpose = Purpose::chat;
  config::LlamaServerSettings settings;
  unsigned context = 4096;  // tokens a slot
  unsigned slots = 4;
  bool own_pooling = false;        // the model says how its embeddings are pooled
  std::string device;              // of the engine's own names: "CUDA0,CUDA1"; empty: the CPU
  unsigned gpu_layers = 0;         // that go there
  std::string cache_type = "f16";  // of keys and values
  unsigned checkpoints = 2;        // of each slot, of caches that cannot be rolled back
  bool repack = true;              // faster on the CPU, for a copy of some weights
  std::uint64_t memory = 0;        // of the host, as it was counted; 0: unknown
  std::string device_shares;       // "20,13": layers of each of several devices
  std::vector<std::string> rpc;    // HOST:PORT of the rpc-servers that are devices too
  sys::Path projector;             // the file that lets it see; may be empty
  std::vector<models::FileIdentity> files;  // as they were taken in: others are not started
  bool operator==(const InstanceSpec&) const = default;
};

// settings.path (a path, or a name on PATH) or else `llama-server` on PATH or else the newest
// <cache>/engine/*/bin/llama-server. not_found with a hint.
Result<sys::Path> find_llama_server(sys::Files& files, const config::LlamaServerSettings& settings,
                                    const sys::Path& cache_folder);

// The arguments without the program. `physical_cores` is used when settings.threads is 0.
// invalid_argument: an extra argument that would take over what Corral decides, show prompts in the
// log, or put a secret on the command line.
Result<std::vector<std::string>> llama_server_arguments(const InstanceSpec& spec,
                                                        std::uint16_t port,
                                                        unsigned physical_cores);

// `inherited` without what would steer the engine behind our back (LLAMA_*, AIP_*, HF_*), our own
// settings (CORRAL_*) and what looks like a secret; with the key.
std::map<std::string, std::string> llama_server_environment(
    std::map<std::string, std::string> inherited, const config::Secret& api_key);

// Tokens over all slots: what `-c` says. Slots are rounded up to 256 as the engine does.
std::uint64_t total_context(const InstanceSpec& spec);

}  // namespace corral::engines

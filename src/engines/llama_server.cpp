#include "engines/llama_server.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "base/text.hpp"
#include "engines/core/engine_limits.hpp"
#include "sys/process.hpp"

namespace corral::engines {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kProgram = "llama-server";
constexpr unsigned kContextStep = 256;  // the engine rounds each slot up to this

// Where the model lies and how its cache is kept. Devices and layers are always named: the engine's
// default takes whatever accelerator it finds.
void add_placement(const InstanceSpec& spec, std::vector<std::string>& arguments) {
  const bool cpu = spec.device.empty();
  // Before the devices, which come into being with it.
  if (!spec.rpc.empty()) arguments.insert(arguments.end(), {"--rpc", join(spec.rpc, ",")});
  arguments.insert(arguments.end(),
                   {"-dev", cpu ? "none" : spec.device, "-ngl",
                    std::to_string(cpu ? 0 : spec.gpu_layers), "-ctk", spec.cache_type, "-ctv",
                    spec.cache_type, "--ctx-checkpoints", std::to_string(spec.checkpoints)});
  if (!spec.repack) arguments.emplace_back("--no-repack");
  if (!spec.device_shares.empty()) {
    arguments.insert(arguments.end(), {"-sm", "layer", "-ts", spec.device_shares});
  }
  if (!spec.projector.empty()) {
    arguments.insert(arguments.end(), {"--mmproj", spec.projector.string()});
    // It would go to the first accelerator there is, whether named for the model or not.
    if (cpu || !spec.rpc.empty()) {
      arguments.emplace_back("--no-mmproj-offload");
    } else {
      const auto comma = spec.device.rfind(',');
      arguments.insert(arguments.end(),
                       {"--mmproj-device",
                        comma == std::string::npos ? spec.device : spec.device.substr(comma + 1)});
    }
  }
}

// Set by Corral, or unfit for an engine behind a gateway.
constexpr std::array kReservedArguments{"-m"sv,
                                        "--model"sv,
                                        "-mu"sv,
                                        "--model-url"sv,
                                        "-hf"sv,
                                        "-hfr"sv,
                                        "--hf-repo"sv,
                                        "-a"sv,
                                        "--alias"sv,
                                        "--host"sv,
                                        "--port"sv,
                                        "--reuse-port"sv,
                                        "--api-prefix"sv,
                                        "--api-key"sv,
                                        "--api-key-file"sv,
                                        "-hft"sv,
                                        "--hf-token"sv,
                                        "-c"sv,
                                        "--ctx-size"sv,
                                        "-np"sv,
                                        "--parallel"sv,
                                        "--models-dir"sv,
                                        "--models-preset"sv,
                                        "--cors-origins"sv,
                                        "--cors-credentials"sv,
                                        "-lv"sv,
                                        "--verbosity"sv,
                                        "--log-verbosity"sv,
                                        "-v"sv,
                                        "--verbose"sv,
                                        "--log-verbose"sv,
                                        "--log-disable"sv,
                                        "--log-file"sv,
                                        "--log-jsonl"sv,
                                        "--log-prompts-dir"sv,
                                        "--tools"sv,
                                        "-ag"sv,
                                        "--agent"sv,
                                        "--ui-mcp-proxy"sv,
                                        "--webui-mcp-proxy"sv,
                                        "-h"sv,
                                        "--help"sv,
                                        "--version"sv,
                                        "--embedding"sv,
                                        "--embeddings"sv,
                                        "--path"sv,
                                        "--ssl-key-file"sv,
                                        "--ssl-cert-file"sv};

Result<void> check_extra(const std::vector<std::string>& extra) {
  for (const std::string& argument : extra) {
    // The engine does not take --flag=value, but a later version might.
    std::string_view flag = std::string_view(argument).substr(0, argument.find('='));
    if (std::ranges::find(kReservedArguments, flag) == kReservedArguments.end()) continue;
    return fail(ErrorCode::invalid_argument,
                "the engine argument " + std::string(flag) + " is Corral's own to set")
        .field("engines.llama_server.extra_arguments")
        .hint("take it out; context, slots, threads and batch have settings of their own");
  }
  return {};
}

bool looks_secret(std::string_view name) {
  static constexpr std::array kSigns{"KEY"sv,      "TOKEN"sv,  "SECRET"sv,
                                     "PASSWORD"sv, "PASSWD"sv, "CREDENTIAL"sv};
  return std::ranges::any_of(kSigns, [&](std::string_view sign) { return name.contains(sign); });
}

bool steers_engine(std::string_view name) {
  static constexpr std::array kPrefixes{"LLAMA_"sv, "AIP_"sv, "HF_"sv, "CORRAL_"sv};
  return std::ranges::any_of(kPrefixes,
                             [&](std::string_view prefix) { return name.starts_with(prefix); });
}

Result<sys::Path> named_program(sys::Files& files, const std::string& path) {
  if (path.find('/') == std::string::npos) {
    auto found = sys::find_program(path);
    if (found) return found;
  } else if (auto info = files.stat(path); info && !info->is_directory) {
    return sys::Path(path);
  }
  return fail(ErrorCode::not_found, "there is no engine '" + path + "'")
      .field("engines.llama_server.path")
      .hint("correct engines.llama_server.path, or leave it out");
}

}  // namespace

std::string_view to_string(Purpose purpose) {
  return purpose == Purpose::embedding ? "embedding" : "chat";
}

Result<sys::Path> find_llama_server(sys::Files& files, const config::LlamaServerSettings& settings,
                                    const sys::Path& cache_folder) {
  if (!settings.path.empty()) return named_program(files, settings.path);
  if (auto on_path = sys::find_program(std::string(kProgram))) return on_path;
  std::optional<sys::FileInfo> newest;
  if (auto builds = files.list(cache_folder / "engine")) {
    for (const sys::FileInfo& build : *builds) {
      auto info = files.stat(build.path / "bin" / kProgram);
      if (!info || info->is_directory) continue;
      if (!newest || info->modified > newest->modified) newest = std::move(*info);
    }
  }
  if (newest) return newest->path;
  return fail(ErrorCode::not_found, "there is no llama-server to run models with")
      .hint("run scripts/build-engine, put llama-server on PATH, or set engines.llama_server.path");
}

std::uint64_t total_context(const InstanceSpec& spec) {
  std::uint64_t context = std::max(spec.context, 1u);
  std::uint64_t slot = (context + kContextStep - 1) / kContextStep * kContextStep;
  return slot * std::max(spec.slots, 1u);
}

Result<std::vector<std::string>> llama_server_arguments(const InstanceSpec& spec,
                                                        std::uint16_t port,
                                                        unsigned physical_cores) {
  const config::LlamaServerSettings& settings = spec.settings;
  CORRAL_CHECK(check_extra(settings.extra_arguments));
  unsigned slots = std::max(spec.slots, 1u);
  unsigned threads = settings.threads > 0 ? settings.threads : std::max(physical_cores, 1u);
  threads = threads_within(threads, settings.cpu_limit);
  unsigned batch = std::max(settings.batch, 1u);
  // An embedding is computed in one step: a longer input than a step holds would be refused.
  if (spec.purpose == Purpose::embedding) batch = std::max(batch, spec.context);

  // A comma would make two names of one.
  std::string alias = spec.name;
  std::ranges::replace(alias, ',', '_');
  std::vector<std::string> arguments{
      "-m", spec.model_file.string(), "--alias", alias, "--host", "127.0.0.1", "--port",
      std::to_string(port), "-c", std::to_string(total_context(spec)), "-np", std::to_string(slots),
      "-t", std::to_string(threads), "-b", std::to_string(batch), "-ub", std::to_string(batch),
      "--fit", "off", "--cache-ram", "0", "--offline", "--no-ui", "--metrics", "--cors-origins",
      "localhost", "--no-cors-credentials",
      // Every open connection, idle or not, holds one of these.
      "--threads-http", std::to_string(slots + 64),
      // After SIGTERM a stream ends with its next ping.
      "--sse-ping-interval", "2", "-lv", "3", "--log-colors", "off", "--log-prefix",
      "--log-timestamps"};
  add_placement(spec, arguments);
  if (spec.purpose == Purpose::embedding) {
    arguments.emplace_back("--embeddings");
    // Else the engine cuts inputs of different lengths that are computed together, and pools over
    // the last piece alone: some come out wrong.
    arguments.emplace_back("--kv-unified");
    if (!spec.own_pooling) arguments.insert(arguments.end(), {"--pooling", "mean"});
  }
  arguments.insert(arguments.end(), settings.extra_arguments.begin(),
                   settings.extra_arguments.end());
  return arguments;
}

std::map<std::string, std::string> llama_server_environment(
    std::map<std::string, std::string> inherited, const config::Secret& api_key) {
  std::erase_if(inherited, [](const auto& entry) {
    return steers_engine(entry.first) || looks_secret(entry.first);
  });
  inherited["LLAMA_API_KEY"] = api_key.value;
  // So that CUDA0 is the first device by its place in the machine, as the driver counts.
  inherited.try_emplace("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
  // Else its abort handler attaches a debugger to itself.
  inherited["GGML_NO_BACKTRACE"] = "1";
  return inherited;
}

}  // namespace corral::engines

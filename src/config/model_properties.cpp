#include "config/model_properties.hpp"

#include "config/property_makers.hpp"

namespace corral::config {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::uint64_t kGiB = 1024ull * 1024 * 1024, kMostMemory = 1'048'576 * kGiB;
constexpr Milliseconds kNone{0}, kLongest = days(365);
constexpr auto kRestart = Applies::after_restart;

const std::vector<Property<PoolSettings>>& pool_properties() {
  using S = PoolSettings;
  static const std::vector<Property<S>> table = {
      property("device", &S::device, text(), "The device whose memory is set aside."),
      property("memory", &S::memory, bytes(0, kMostMemory), "How much of it."),
  };
  return table;
}

}  // namespace

std::vector<Property<ModelsSettings>> models_properties() {
  using S = ModelsSettings;
  return {
      property("directory", &S::directory, text(),
               "Folder with GGUF files; empty: `models` in the data folder.", kRestart),
      property("idle_timeout", &S::idle_timeout, duration(kNone, kLongest),
               "A model without a request for so long is unloaded; 0: never."),
      map_property("settings", &S::settings, model_properties(),
                   "What holds for single models, by name, over the defaults."),
  };
}

std::vector<Property<SchedulerSettings>> scheduler_properties() {
  using S = SchedulerSettings;
  return {
      property("memory", &S::memory, bytes(0, kMostMemory),
               "Memory of this machine for engines; 0: all but scheduler.reserve."),
      property("reserve", &S::reserve, bytes(0, kMostMemory),
               "Memory left to everything else, where scheduler.memory is 0."),
      property("device_memory", &S::device_memory, bytes(0, kMostMemory),
               "Memory of each accelerator for engines; 0: what it has."),
      property("max_models", &S::max_models, whole(0, 10'000),
               "Engines at once; 0: as many as fit into memory."),
      property("turn_limit", &S::turn_limit, duration(kNone, hours(24)),
               "Two models that do not fit together take turns: the longest that one waits while "
               "there are requests for the other."),
      map_property("pools", &S::pools, pool_properties(),
                   "Memory set aside, by the name that models give as their pool."),
  };
}

std::vector<Property<SourcesSettings>> sources_properties() {
  using S = SourcesSettings;
  return {
      property("hugging_face", &S::hugging_face, text(), "Address of the Hugging Face hub."),
      property("hugging_face_token", &S::hugging_face_token, secret(),
               "Token for gated and private repositories there."),
      property("ollama", &S::ollama, text(), "Address of the Ollama library."),
      property("folders", &S::folders, texts(),
               "NAME=URL: HTTP folders with an index of models, and other Corral servers."),
      property("private_hosts", &S::private_hosts, texts(),
               "Hosts that may be fetched from though their address is private; sources that are "
               "configured may be anyhow."),
  };
}

std::vector<Property<DownloadSettings>> download_properties() {
  using S = DownloadSettings;
  return {
      property("at_once", &S::at_once, whole(1, 64), "Models fetched at once; more wait."),
      property("connections", &S::connections, whole(1, 64), "Connections for each file."),
      property("bandwidth", &S::bandwidth, bytes(0, kMostMemory),
               "Bytes a second, of all downloads together; 0: no limit."),
      property("keep_free", &S::keep_free, bytes(0, kMostMemory),
               "Space of the disk that downloads leave free."),
      property("silence", &S::silence, duration(seconds(1), hours(1)),
               "A connection that brings nothing for so long is made anew."),
      property("tries", &S::tries, whole(1, 1000),
               "Failures in a row without progress after which a download is given up for now."),
  };
}

const std::vector<Property<ModelSettings>>& model_properties() {
  using S = ModelSettings;
  static const std::vector<Property<S>> table = {
      property("context", &S::context, whole(0, 16'777'216),
               "Tokens of context for each slot; 0: engines.llama_server.context."),
      property("slots", &S::slots, whole(0, 1024),
               "Requests served at once; 0: engines.llama_server.slots."),
      property("idle_timeout", &S::idle_timeout, duration_or_default(kNone, kLongest),
               "Unload after so long without a request; 0: never; default: models.idle_timeout."),
      property("preload", &S::preload, flag(), "Load at start, not on the first request."),
      property("pin", &S::pin, flag(), "Never unload it to make room for another model."),
      property("pool", &S::pool, text(),
               "Name of the pool in scheduler.pools whose memory it takes; empty: the common one."),
      property("device", &S::device, text(),
               "Where it runs, as `corral show --plan` lists them: `cpu`, `CUDA0`; empty: chosen."),
      property("gpu_layers", &S::gpu_layers, whole_or_default(0, 10'000),
               "Layers that go to the accelerator; default: as many as fit."),
      property("cache_type", &S::cache_type,
               choice({"", "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"}),
               "Type of the cache of keys and values; empty: f16."),
      property("memory", &S::memory, bytes(0, 1'048'576 * kGiB),
               "What an instance takes; 0: estimated from the file."),
      property("aliases", &S::aliases, texts(), "Other names that requests may use."),
  };
  return table;
}

}  // namespace corral::config

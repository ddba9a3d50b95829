#include "config/model_properties.hpp"

#include "config/property_makers.hpp"

namespace corral::config {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

constexpr Milliseconds kLongest = days(365);

const std::vector<Property<PoolSettings>>& pool_properties() {
  using S = PoolSettings;
  static const std::vector<Property<S>> table = {
      property("device", &S::device, text(), "The device whose memory is set aside."),
      property("memory", &S::memory, bytes(0, kMostMemory), "How much of it."),
      property("work", &S::work, texts(),
               "Kinds of work that it is for, whatever the model, as long as that names no pool "
               "itself: `chat`, `embedding`; empty: only models that name it."),
  };
  return table;
}

std::vector<Property<AutoscaleSettings>> autoscale_properties() {
  using S = AutoscaleSettings;
  return {
      property("enabled", &S::enabled, flag(),
               "Add and remove instances of models that may have several (max_replicas)."),
      property("cpu_high", &S::cpu_high, real(0, 1),
               "One more when more than this part of the processors' time is used,"),
      property("memory_high", &S::memory_high, real(0, 1),
               "while less than this part of the memory is."),
      property("cpu_low", &S::cpu_low, real(0, 1),
               "One fewer when less than this part of the processors' time is used."),
      property("wait_target", &S::wait_target, duration(kNone, hours(1)),
               "One more when requests wait longer than this for a place; 0: not looked at."),
      property("first_token_target", &S::first_token_target, duration(kNone, hours(1)),
               "One more when the first token takes longer than this; 0: not looked at."),
      property("tokens_target", &S::tokens_target, real(0, 1'000'000),
               "One more when a request gets fewer tokens a second than this; 0: not looked at."),
      property("over_target", &S::over_target, duration(kNone, days(1)),
               "So long must a target be missed."),
      property("cooldown_up", &S::cooldown_up, duration(kNone, days(1)),
               "Least time between one instance more and the next."),
      property("cooldown_down", &S::cooldown_down, duration(kNone, days(1)),
               "Least time between any change and an instance fewer."),
  };
}

}  // namespace

std::vector<Property<ModelsSettings>> models_properties() {
  using S = ModelsSettings;
  return {
      property("directory", &S::directory, text(),
               "Folder with GGUF files; empty: `models` in the data folder.", kRestart),
      property("idle_timeout", &S::idle_timeout, duration(kNone, kLongest),
               "A model without a request for so long is unloaded; 0: never."),
      property("preload_frequent", &S::preload_frequent, flag(),
               "Load the models that are used most, as many as fit: at start, and when nothing "
               "else is to be done."),
      property("share", &S::share, flag(),
               "Let other Corral servers list and fetch the models of the catalog."),
      property("forget_machines", &S::forget_machines, duration(kNone, kLongest),
               "Of machines that share the database: forget what is kept of the files of one that "
               "was not there for so long; 0: never."),
      map_property("settings", &S::settings, model_properties(),
                   "What holds for single models, by name, over the defaults."),
  };
}

std::vector<Property<SchedulerSettings>> scheduler_properties() {
  using S = SchedulerSettings;
  std::vector<Property<S>> table = {
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
  mount(table, "autoscale", &S::autoscale, autoscale_properties());
  return table;
}

std::vector<Property<SourcesSettings>> sources_properties() {
  using S = SourcesSettings;
  return {
      property("hugging_face", &S::hugging_face, text(), "Address of the Hugging Face hub."),
      property("hugging_face_token", &S::hugging_face_token, secret(),
               "Token for gated and private repositories there."),
      property("ollama", &S::ollama, text(), "Address of the Ollama library."),
      property("folders", &S::folders, texts(),
               "NAME=URL: HTTP folders with an index of models, and other Corral servers; "
               "`token_file=/PATH` behind it names the file with the token that they want."),
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
      property(
          "prefetch", &S::prefetch, flag(),
          "Fetch newer versions of the models that are used most, while nothing else is done."),
      property("prefetch_after", &S::prefetch_after, duration(seconds(1), hours(24)),
               "Time without requests before that begins, or goes on."),
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
      property("min_replicas", &S::min_replicas, whole(1, 256),
               "Instances of it while it is loaded."),
      property("max_replicas", &S::max_replicas, whole(1, 256),
               "Instances of it at most, as scheduler.autoscale decides."),
      property("projector", &S::projector, text(),
               "File with the projector that lets it see images, below the models folder; empty: "
               "the one beside it."),
      property("rpc", &S::rpc, texts(),
               "HOST:PORT of the rpc-servers of other machines that hold a part of it."),
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

// The effective configuration as plain values. An immutable snapshot: a reload makes a new one.
// Defaults, documentation, validation and parsing live in the property table (properties.cpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace corral::config {

using Milliseconds = std::chrono::milliseconds;

// A value that must not be shown: logs, exports and error texts print "***" in its place.
struct Secret {
  std::string value;
  bool empty() const { return value.empty(); }
  bool operator==(const Secret&) const = default;
};

struct ListenAddress {
  std::string host;        // an IP address or "localhost"
  std::uint16_t port = 0;  // 0: any free port
  bool required = true;    // false: a taken port is a warning, not a failure
  bool operator==(const ListenAddress&) const = default;
};

struct ServerSettings {
  // The second and third port are where clients of Ollama and LM Studio look.
  std::vector<ListenAddress> listen = {
      {"127.0.0.1", 8585, true}, {"127.0.0.1", 11434, false}, {"127.0.0.1", 1234, false}};
  unsigned threads = 0;  // shards; 0: one a logical CPU
  std::uint64_t max_header_bytes = 32 * 1024;
  std::uint64_t max_body_bytes = 64u << 20;
  unsigned max_connections = 10000;     // past it new connections get 503 and are closed
  Milliseconds header_timeout{10'000};  // to receive a whole request head
  Milliseconds body_timeout{30'000};    // without a byte while reading a body
  std::uint64_t min_body_rate = 100;    // bytes/s, averaged; slower senders get 408
  Milliseconds idle_timeout{75'000};    // keep-alive without a request
  Milliseconds write_timeout{30'000};   // a reader that takes nothing for so long is dropped
  Milliseconds shutdown_grace{30'000};  // for streams to finish
  bool compression = true;
  std::vector<std::string> cors_origins;  // besides local ones; "*" for all
  std::vector<std::string>
      allowed_hosts;  // Host headers accepted besides local names and IPs; "*" for all
  Secret api_key;     // when set, all but /health needs it
  bool allow_anonymous_remote = false;  // a non-loopback listener without api_key
  std::string tls_certificate;          // PEM file; with tls_key, listeners speak TLS
  std::string tls_key;
  std::string web_root;  // folder of static files served at /
};

struct LogSettings {
  std::string level = "info";   // trace debug info warn error off
  std::string format = "text";  // text json
  std::string file;             // empty: standard error
  bool access = true;
  std::uint64_t rotate_bytes = 50u << 20;
  unsigned rotate_files = 5;
};

struct LlamaServerSettings {
  std::string path;         // empty: found on PATH, then in the cache folder
  unsigned context = 4096;  // tokens a slot; at most the model's own
  unsigned slots = 4;       // requests served at once by one instance
  unsigned threads = 0;     // 0: physical cores
  unsigned batch = 256;     // tokens a prefill step: bounds how late a cancel is noticed
  std::vector<std::string> extra_arguments;
  Milliseconds start_timeout{120'000};
  Milliseconds stop_timeout{5'000};   // SIGTERM to SIGKILL
  Milliseconds restart_backoff{500};  // doubles with each crash in a row
  Milliseconds restart_backoff_max{30'000};
  unsigned restart_limit = 3;  // crashes in a row until the instance is failed
  bool limits = true;          // an engine may not take much more memory than was counted for it
  double cpu_limit = 0;        // processors that one engine may use; 0: all
  unsigned io_weight = 0;      // its share of the disk against others, 1 to 1000; 0: as others

  bool operator==(const LlamaServerSettings&) const = default;
};

// What holds for one model, over the defaults.
struct ModelSettings {
  unsigned context = 0;           // 0: engine default
  unsigned slots = 0;             // 0: engine default
  Milliseconds idle_timeout{-1};  // -1: models.idle_timeout
  bool preload = false;
  bool pin = false;                    // never unloaded to make room
  unsigned min_replicas = 1;           // instances while it is loaded,
  unsigned max_replicas = 1;           // and at most, as scheduler.autoscale decides
  std::string projector;               // file that lets it see images; empty: the one beside it
  std::vector<std::string> rpc;        // HOST:PORT of the rpc-servers that hold a part of it
  std::string pool;                    // the pool whose memory it takes; empty: the common one
  std::string device;                  // "cpu", "CUDA0"; empty: chosen
  std::optional<unsigned> gpu_layers;  // none: as many as fit
  std::string cache_type;              // of keys and values: "f16", "q8_0"; empty: f16
  std::uint64_t memory = 0;            // bytes that an instance takes; 0: estimated from the file
  std::vector<std::string> aliases;

  bool operator==(const ModelSettings&) const = default;
};

struct ModelsSettings {
  std::string directory;               // empty: <data_dir>/models
  Milliseconds idle_timeout{300'000};  // unload after so long without a request; 0: never
  bool preload_frequent = false;       // load the most used that fit, at start and when idle
  bool share = false;                  // other Corral servers may list and fetch the catalog
  // What is kept of the files of machines that were not here for so long goes; 0: never.
  Milliseconds forget_machines{30LL * 24 * 3600 * 1000};
  std::map<std::string, ModelSettings> settings;  // by model name
};

// Memory set aside for some models: they may use so much, and nobody else may use it.
struct PoolSettings {
  std::string device = "cpu";
  std::uint64_t memory = 0;       // bytes
  std::vector<std::string> work;  // "chat", "embedding": of all models that name no pool

  bool operator==(const PoolSettings&) const = default;
};

// When a model gets another instance, and when it loses one. Targets of 0 are not looked at.
struct AutoscaleSettings {
  bool enabled = false;
  double cpu_high = 0.8;                // more: of the processors' time in use,
  double memory_high = 0.7;             // while less than this of the memory is
  double cpu_low = 0.3;                 // fewer: less than this in use
  Milliseconds wait_target{200};        // added by waiting for a place
  Milliseconds first_token_target{0};   // to the first token
  double tokens_target = 0;             // tokens/s of each request, at least
  Milliseconds over_target{300'000};    // so long past a target until there is another one
  Milliseconds cooldown_up{60'000};     // between an instance more and the next
  Milliseconds cooldown_down{300'000};  // between any change and an instance fewer

  bool operator==(const AutoscaleSettings&) const = default;
};

// How engines share the memory of this machine.
struct SchedulerSettings {
  std::uint64_t memory = 0;  // bytes for engines in the host's memory; 0: what the host has, less
  std::uint64_t reserve = 1u << 30;  // this much
  std::uint64_t device_memory = 0;   // the same for each accelerator; 0: what it has
  unsigned max_models = 0;           // loaded at once; 0: as many as fit
  Milliseconds turn_limit{30'000};   // so long may a model in use keep another one from its turn
  std::map<std::string, PoolSettings> pools;  // by name
  AutoscaleSettings autoscale;

  bool operator==(const SchedulerSettings&) const = default;
};

// Where models come from.
struct SourcesSettings {
  std::string hugging_face = "https://huggingface.co";
  Secret hugging_face_token;
  std::string ollama = "https://registry.ollama.ai";
  std::vector<std::string> folders;  // NAME=URL: HTTP folders with an index, and other Corrals
  std::vector<std::string> private_hosts;  // may be reached though their address is private

  bool operator==(const SourcesSettings&) const = default;
};

struct DownloadSettings {
  unsigned at_once = 2;                 // models
  unsigned connections = 4;             // for each file
  std::uint64_t bandwidth = 0;          // bytes/s of all together; 0: no limit
  std::uint64_t keep_free = 1u << 30;   // bytes of the disk
  Milliseconds silence{30'000};         // without a byte: the connection is made anew
  unsigned tries = 8;                   // in a row without progress, for each part
  bool prefetch = false;                // newer versions of the models that are used most
  Milliseconds prefetch_after{60'000};  // without work

  bool operator==(const DownloadSettings&) const = default;
};

// An engine in a container, made and kept running over the Docker Engine API. It is an endpoint of
// the same name.
struct ContainerSettings {
  std::string name;
  std::string image;
  std::vector<std::string> command;      // arguments; empty: the image's own
  std::vector<std::string> environment;  // NAME=VALUE; NAME alone: as Corral itself has it
  std::vector<std::string> mounts;       // SOURCE:TARGET, or with ":ro" behind it
  unsigned port = 8080;                  // where the engine listens inside
  unsigned host_port = 0;                // and on this host's loopback; 0: any free one
  std::string binding = "openai";        // as of an endpoint, with these four
  std::string path = "/v1";              // of the API below its address
  std::vector<std::string> models;
  unsigned capacity = 4;
  Secret api_key;
  std::string device;        // what it takes of this machine's budget
  std::uint64_t memory = 0;  // and most bytes that it may use; 0: no limit
  double cpus = 0;           // processors; 0: all
  std::string gpus;          // "all" or how many; empty: none
  bool pull = true;          // the image, when it is not there
  bool remove = false;       // the container, when Corral ends; otherwise it stays
  Milliseconds start_timeout{120'000};
  Milliseconds stop_timeout{10'000};

  bool operator==(const ContainerSettings&) const = default;
};

struct DockerSettings {
  std::string socket = "/var/run/docker.sock";  // of the Docker Engine API, or of Podman's
  std::vector<ContainerSettings> containers;

  bool operator==(const DockerSettings&) const = default;
};

struct EndpointSettings {
  std::string name;
  std::string binding;              // llamacpp | openai
  std::string url;                  // http://host:port, https://..., unix:/path.sock
  std::vector<std::string> models;  // public names; "public=backend" rewrites the name
  Secret api_key;
  unsigned capacity = 256;           // requests at once
  unsigned weight = 1;               // of its targets that name none; 0: none of the traffic
  Milliseconds idle_timeout{4'000};  // pooled connections older than this are not reused
  std::string device;                // of this machine that it uses, if any,
  std::uint64_t memory = 0;          // and how many bytes of it: they are taken off the budget

  bool operator==(const EndpointSettings&) const = default;
};

// The endpoint name in a target that means the models served by this Corral's own engines.
inline constexpr const char* kLocalEndpoint = "local";

// How a route chooses among the usable targets of a group.
enum class Balance { peak_ewma, round_robin, weighted, least_busy, sticky, prefix };
enum class StickyBy { user, session };

// Which answers may be kept and given again: none; those of requests that ask for it; those and
// all with temperature 0.
enum class CachePolicy { off, opt_in, temperature0 };

enum class Priority { low, normal, high };  // in order: high > normal

// The value of a request's parameter.
using Scalar = std::variant<bool, std::int64_t, double, std::string>;

// One place that may answer the requests of a route.
struct TargetSettings {
  std::string endpoint;            // the name of an endpoint, or kLocalEndpoint
  std::string model;               // a model there; '*' in it is what the route's '*' matched;
                                   // empty: as the route's name
  std::optional<unsigned> weight;  // none: that of the endpoint; 0: none of the traffic
  unsigned group = 0;              // tried in this order

  bool operator==(const TargetSettings&) const = default;
};

struct RouteSettings {
  std::string name;                  // public; may end in '*'
  std::vector<std::string> aliases;  // other public names; may end in '*' when the name does
  std::vector<TargetSettings> targets;
  std::vector<std::string> fallbacks;  // public names, tried in order after all groups
  Balance balance = Balance::peak_ewma;
  StickyBy sticky_by = StickyBy::user;
  double balance_factor = 1.25;  // prefix: no target gets busier for it than this x mean
  std::map<std::string, Scalar> parameters;  // put into requests that do not set them

  unsigned tries = 3;  // attempts in all, the first included
  Milliseconds retry_backoff_min{100};
  Milliseconds retry_backoff_max{2'000};
  Milliseconds background_backoff_min{2'000};  // of requests with low priority
  Milliseconds background_backoff_max{10'000};
  double retry_budget = 0.2;  // retries a request, on average; bounds the extra load
  bool hedge = false;         // a second attempt elsewhere once the first takes longer than p95
  double hedge_budget = 0.05;
  bool resume = false;  // continue a stream that broke midway on another endpoint

  Milliseconds connect_timeout{-1};  // -1 here and below: what gateway.* says
  Milliseconds first_token_timeout{-1};
  Milliseconds between_tokens_timeout{-1};
  Milliseconds total_timeout{-1};
  std::optional<unsigned> queue_limit;
  Milliseconds queue_timeout{-1};

  CachePolicy cache = CachePolicy::off;
  Milliseconds cache_ttl{300'000};  // 0: only requests at the same time share an answer

  bool operator==(const RouteSettings&) const = default;
};

// When an endpoint's model is left alone for a while because it fails.
struct BreakerSettings {
  unsigned failures = 5;                 // in a row
  double error_rate = 0.5;               // or this share of the requests in the window,
  unsigned min_volume = 20;              // if there were that many
  Milliseconds window{10'000};           // over which the share is taken
  Milliseconds recovery_local{30'000};   // open so long: instances of our own
  Milliseconds recovery_remote{60'000};  // and all others
  unsigned trials = 3;                   // requests let through while half-open
  Milliseconds cooldown{5'000};          // after a 429 without Retry-After

  bool operator==(const BreakerSettings&) const = default;
};

struct HealthSettings {
  Milliseconds probe_interval{30'000};  // 0: never
  Milliseconds probe_timeout{5'000};
  unsigned strikes = 3;             // failed probes in a row until an endpoint is down
  bool validate = true;             // a real one-token request before it comes back
  Milliseconds slow_start{10'000};  // from its return to its full share

  bool operator==(const HealthSettings&) const = default;
};

struct GatewaySettings {
  Milliseconds connect_timeout{2'000};
  Milliseconds first_token_timeout{120'000};
  Milliseconds between_tokens_timeout{60'000};
  Milliseconds total_timeout{1'800'000};
  unsigned queue_limit = 512;  // waiting requests a route; more get 503
  Milliseconds queue_timeout{300'000};
  Milliseconds retry_after{2'000};  // said with 503 when nothing better is known
  Priority default_priority = Priority::normal;
  Priority max_priority = Priority::high;  // requests that ask for more get this, and are told
  std::uint64_t cache_bytes = 64u << 20;   // of kept answers; 0: none are kept
  Milliseconds embedding_batch{3};         // embeddings wait so long for others; 0: never
  BreakerSettings breaker;
  HealthSettings health;

  bool operator==(const GatewaySettings&) const = default;
};

struct StoreSettings {
  Secret url;  // sqlite:PATH or postgresql://...; empty: corral.db in the data folder
};

// What several Corral processes share besides the database.
struct SharedSettings {
  Secret url;  // redis://..., rediss://... or unix:PATH; empty: nothing
};

struct Settings {
  std::string data_dir;  // empty: XDG data folder
  ServerSettings server;
  LogSettings log;
  ModelsSettings models;
  LlamaServerSettings llama_server;
  GatewaySettings gateway;
  SchedulerSettings scheduler;
  SourcesSettings sources;
  DownloadSettings downloads;
  DockerSettings docker;
  StoreSettings store;
  SharedSettings shared;
  std::vector<EndpointSettings> endpoints;
  std::vector<RouteSettings> routes;
};

}  // namespace corral::config

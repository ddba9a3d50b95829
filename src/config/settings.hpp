// The effective configuration as plain values. An immutable snapshot: a reload makes a new one.
// Defaults, documentation, validation and parsing live in the property table (properties.cpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
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

  bool operator==(const LlamaServerSettings&) const = default;
};

// What holds for one model, over the defaults.
struct ModelSettings {
  unsigned context = 0;           // 0: engine default
  unsigned slots = 0;             // 0: engine default
  Milliseconds idle_timeout{-1};  // -1: models.idle_timeout
  bool preload = false;
  std::vector<std::string> aliases;
};

struct ModelsSettings {
  std::string directory;               // empty: <data_dir>/models
  Milliseconds idle_timeout{300'000};  // unload after so long without a request; 0: never
  std::map<std::string, ModelSettings> settings;  // by model name
};

struct EndpointSettings {
  std::string name;
  std::string binding;              // llamacpp | openai
  std::string url;                  // http://host:port, https://..., unix:/path.sock
  std::vector<std::string> models;  // public names; "public=backend" rewrites the name
  Secret api_key;
  unsigned capacity = 256;           // requests at once
  Milliseconds idle_timeout{4'000};  // pooled connections older than this are not reused
};

struct GatewaySettings {
  Milliseconds connect_timeout{2'000};
  Milliseconds first_token_timeout{120'000};
  Milliseconds between_tokens_timeout{60'000};
  Milliseconds total_timeout{1'800'000};
  unsigned queue_limit = 512;  // waiting requests an endpoint; more get 503
  Milliseconds queue_timeout{300'000};
};

struct Settings {
  std::string data_dir;  // empty: XDG data folder
  ServerSettings server;
  LogSettings log;
  ModelsSettings models;
  LlamaServerSettings llama_server;
  GatewaySettings gateway;
  std::vector<EndpointSettings> endpoints;
};

}  // namespace corral::config

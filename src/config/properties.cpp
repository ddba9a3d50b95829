#include "config/properties.hpp"

#include "config/docker_properties.hpp"
#include "config/gateway_properties.hpp"
#include "config/model_properties.hpp"
#include "config/property_makers.hpp"

namespace corral::config {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

std::vector<Property<ServerSettings>> server_properties() {
  using S = ServerSettings;
  return {
      property("listen", &S::listen, addresses(),
               "Addresses to listen on; port 0 is any free port. A taken port is an error, or only "
               "a warning when the address ends in `?`.",
               kRestart),
      property("threads", &S::threads, whole(0, 1024),
               "Threads that serve connections; 0: one a logical CPU.", kRestart),
      property("max_header_bytes", &S::max_header_bytes, bytes(kKiB, kMiB),
               "Largest head of a request; longer ones get 431.", kRestart),
      property("max_body_bytes", &S::max_body_bytes, bytes(kKiB, 64 * kGiB),
               "Largest body of a request; longer ones get 413.", kRestart),
      property("max_connections", &S::max_connections, whole(1, 1'000'000),
               "Connections at once; more get 503 and are closed.", kRestart),
      property("header_timeout", &S::header_timeout, duration(kShortest, hours(1)),
               "Time to receive a whole request head.", kRestart),
      property("body_timeout", &S::body_timeout, duration(kShortest, hours(1)),
               "Longest silence while a body is read.", kRestart),
      property("min_body_rate", &S::min_body_rate, count(0, kGiB),
               "Bytes a second that a body must come in with, on average; slower senders get 408.",
               kRestart),
      property("idle_timeout", &S::idle_timeout, duration(kShortest, days(1)),
               "A kept-alive connection without a request is closed after so long.", kRestart),
      property("write_timeout", &S::write_timeout, duration(kShortest, hours(1)),
               "A client that takes nothing for so long is dropped.", kRestart),
      property("shutdown_grace", &S::shutdown_grace, duration(kNone, days(1)),
               "Time for requests under way to finish when Corral is told to stop."),
      property("compression", &S::compression, flag(),
               "Compress JSON and files with gzip, brotli or zstd when the client accepts it.",
               kRestart),
      property("cors_origins", &S::cors_origins, texts(),
               "Web origins that may call the API, besides local ones; `*` for all."),
      property("allowed_hosts", &S::allowed_hosts, texts(),
               "Host names that requests may name, besides local names and IP addresses; `*` for "
               "all. Protects against DNS rebinding."),
      property("api_key", &S::api_key, secret(),
               "When set, every request but /health must carry it as a bearer token."),
      property("allow_anonymous_remote", &S::allow_anonymous_remote, flag(),
               "Allow an address that other machines can reach without an api_key.", kRestart),
      property("tls_certificate", &S::tls_certificate, text(),
               "PEM file with the certificate chain, leaf first; with tls_key, Corral speaks TLS.",
               kRestart),
      property("tls_key", &S::tls_key, text(), "PEM file with the private key.", kRestart),
      property("web_root", &S::web_root, text(), "Folder of static files served at /.", kRestart),
  };
}

std::vector<Property<LogSettings>> log_properties() {
  using S = LogSettings;
  return {
      property("level", &S::level, choice({"trace", "debug", "info", "warn", "error", "off"}),
               "Least level that is written."),
      property("format", &S::format, choice({"text", "json"}), "Form of a line.", kRestart),
      property("file", &S::file, text(), "File to write to; empty: standard error.", kRestart),
      property("access", &S::access, flag(), "Write a line for each request."),
      property("rotate_bytes", &S::rotate_bytes, bytes(4 * kKiB, 1024 * kGiB),
               "A log file is rotated past this size.", kRestart),
      property("rotate_files", &S::rotate_files, whole(0, 1000), "Old log files kept.", kRestart),
  };
}

std::vector<Property<LlamaServerSettings>> llama_server_properties() {
  using S = LlamaServerSettings;
  return {
      property("path", &S::path, text(),
               "The llama-server program; empty: found on PATH, then in the cache folder."),
      property("context", &S::context, whole(64, 16'777'216),
               "Tokens of context for each slot; at most what the model was made for."),
      property("slots", &S::slots, whole(1, 1024), "Requests that one instance serves at once."),
      property("threads", &S::threads, whole(0, 1024), "Threads; 0: one a physical core."),
      property("batch", &S::batch, whole(1, 65'536),
               "Tokens a step while reading a prompt; bounds how late a cancel is noticed."),
      property("extra_arguments", &S::extra_arguments, texts(),
               "More arguments for the llama-server program, one an entry."),
      property("start_timeout", &S::start_timeout, duration(kShortest, days(1)),
               "Time to become ready."),
      property("stop_timeout", &S::stop_timeout, duration(kNone, hours(1)),
               "Time to end after SIGTERM; then comes SIGKILL."),
      property("restart_backoff", &S::restart_backoff, duration(kNone, hours(1)),
               "Pause before a crashed instance is started again; doubles with each crash in a "
               "row."),
      property("restart_backoff_max", &S::restart_backoff_max, duration(kNone, days(1)),
               "Longest such pause."),
      property("restart_limit", &S::restart_limit, whole(0, 1000),
               "Crashes in a row after which the instance has failed."),
      property("limits", &S::limits, flag(),
               "Keep an engine from taking much more memory than was counted for it."),
      property("cpu_limit", &S::cpu_limit, real(0, 4096),
               "Processors that one engine may use; 0: all."),
      property("io_weight", &S::io_weight, whole(0, 1000),
               "Its share of the disk against others, which have 100; 0: as they."),
  };
}

std::vector<Property<StoreSettings>> store_properties() {
  using S = StoreSettings;
  return {
      property("url", &S::url, secret(),
               "The database: `sqlite:PATH` or `postgresql://USER:pw@HOST/NAME`; empty: "
               "corral.db in the data folder.",
               kRestart),
  };
}

std::vector<Property<SharedSettings>> shared_properties() {
  using S = SharedSettings;
  return {
      property("url", &S::url, secret(),
               "A Redis server through which several Corral processes share kept answers: "
               "`redis://[USER:pw@]HOST[:PORT][/DB]`, `rediss://` with TLS, or "
               "`unix:PATH[?db=N]`; empty: each keeps its own.",
               kRestart),
  };
}

std::vector<Property<Settings>> make_properties() {
  std::vector<Property<Settings>> table = {
      property("data_dir", &Settings::data_dir, text(),
               "Folder for what Corral keeps; empty: corral in the XDG data folder.", kRestart)};
  mount(table, "server", &Settings::server, server_properties());
  mount(table, "log", &Settings::log, log_properties());
  mount(table, "models", &Settings::models, models_properties());
  mount(table, "engines.llama_server", &Settings::llama_server, llama_server_properties());
  mount(table, "gateway", &Settings::gateway, gateway_properties());
  mount(table, "scheduler", &Settings::scheduler, scheduler_properties());
  mount(table, "sources", &Settings::sources, sources_properties());
  mount(table, "downloads", &Settings::downloads, download_properties());
  mount(table, "docker", &Settings::docker, docker_properties());
  mount(table, "store", &Settings::store, store_properties());
  mount(table, "shared", &Settings::shared, shared_properties());
  table.push_back(list_property("endpoints", &Settings::endpoints, endpoint_properties(),
                                "Places that answer inference besides engines.",
                                &EndpointSettings::name));
  table.push_back(list_property(
      "routes", &Settings::routes, route_properties(),
      "Public model names over one or many endpoints, with how to balance, retry and fall back. "
      "A model needs no route: its own name leads to all endpoints that serve it.",
      &RouteSettings::name));
  return table;
}

}  // namespace

const std::vector<Property<Settings>>& properties() {
  static const auto table = make_properties();
  return table;
}

std::string environment_name(std::string_view path) {
  std::string name = "CORRAL_";
  for (char c : path) {
    bool lower = c >= 'a' && c <= 'z';
    bool keeps = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += lower ? static_cast<char>(c - 'a' + 'A') : keeps ? c : '_';
  }
  return name;
}

}  // namespace corral::config

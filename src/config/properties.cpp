#include "config/properties.hpp"

namespace corral::config {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;
constexpr Milliseconds kNone{0}, kShortest{1}, kLongest = days(365);
constexpr auto kRestart = Applies::after_restart;

template <class Owner, class T>
Property<Owner> property(std::string path, T Owner::* member, const TypePtr<T>& type,
                         std::string doc, Applies applies = Applies::on_reload) {
  Property<Owner> result{std::move(path), std::move(doc), applies};
  result.type_name = type->name();
  result.type_schema = type->schema();
  result.assign = [member, type](Owner& owner, const ConfigNode& node) -> Result<void> {
    CORRAL_TRY(owner.*member, type->read(node));
    return {};
  };
  result.write = [member, type](const Owner& owner) { return type->write(owner.*member); };
  result.same = [member](const Owner& a, const Owner& b) { return a.*member == b.*member; };
  if constexpr (std::is_same_v<T, Secret>) {
    result.secret = true;
    result.is_empty = [member](const Owner& owner) { return (owner.*member).empty(); };
  }
  return result;
}

// Properties of a section of Settings, as properties of Settings.
template <class Section>
void mount(std::vector<Property<Settings>>& table, const std::string& prefix,
           Section Settings::* member, const std::vector<Property<Section>>& section) {
  for (const auto& inner : section) {
    Property<Settings> outer{
        prefix + "." + inner.path, inner.doc,        inner.applies, inner.secret,
        inner.type_name,           inner.type_schema};
    outer.assign = [member, assign = inner.assign](Settings& owner, const ConfigNode& node) {
      return assign(owner.*member, node);
    };
    outer.write = [member, write = inner.write](const Settings& owner) {
      return write(owner.*member);
    };
    outer.same = [member, same = inner.same](const Settings& a, const Settings& b) {
      return same(a.*member, b.*member);
    };
    if (inner.secret) {
      outer.is_empty = [member, is_empty = inner.is_empty](const Settings& owner) {
        return is_empty(owner.*member);
      };
    }
    table.push_back(std::move(outer));
  }
}

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

std::vector<Property<ModelsSettings>> models_properties() {
  using S = ModelsSettings;
  return {
      property("directory", &S::directory, text(),
               "Folder with GGUF files; empty: `models` in the data folder.", kRestart),
      property("idle_timeout", &S::idle_timeout, duration(kNone, kLongest),
               "A model without a request for so long is unloaded; 0: never."),
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
  };
}

std::vector<Property<GatewaySettings>> gateway_properties() {
  using S = GatewaySettings;
  return {
      property("connect_timeout", &S::connect_timeout, duration(kShortest, hours(1)),
               "Time to reach an endpoint."),
      property("first_token_timeout", &S::first_token_timeout, duration(kShortest, days(1)),
               "Time from the request to the first token of its answer."),
      property("between_tokens_timeout", &S::between_tokens_timeout, duration(kShortest, days(1)),
               "Longest pause within an answer."),
      property("total_timeout", &S::total_timeout, duration(kShortest, days(7)),
               "Time for a whole answer."),
      property("queue_limit", &S::queue_limit, whole(0, 1'000'000),
               "Requests that may wait for an endpoint; more get 503."),
      property("queue_timeout", &S::queue_timeout, duration(kNone, days(1)),
               "Longest wait for an endpoint."),
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
  return table;
}

}  // namespace

const std::vector<Property<Settings>>& properties() {
  static const auto table = make_properties();
  return table;
}

const std::vector<Property<ModelSettings>>& model_properties() {
  using S = ModelSettings;
  static const std::vector<Property<S>> table = {
      property("context", &S::context, whole(0, 16'777'216),
               "Tokens of context for each slot; 0: engines.llama_server.context."),
      property("slots", &S::slots, whole(0, 1024),
               "Requests served at once; 0: engines.llama_server.slots."),
      property("idle_timeout", &S::idle_timeout, duration_or_default(),
               "Unload after so long without a request; 0: never; default: models.idle_timeout."),
      property("preload", &S::preload, flag(), "Load at start, not on the first request."),
      property("aliases", &S::aliases, texts(), "Other names that requests may use."),
  };
  return table;
}

const std::vector<Property<EndpointSettings>>& endpoint_properties() {
  using S = EndpointSettings;
  static const std::vector<Property<S>> table = {
      property("name", &S::name, text(), "Name in logs and metrics; letters, digits, `._-`."),
      property("binding", &S::binding, choice({"llamacpp", "openai"}), "What it speaks."),
      property("url", &S::url, text(),
               "http://HOST:PORT, https://HOST, or unix:/PATH; a path after it is kept."),
      property("models", &S::models, texts(),
               "Public names of its models; PUBLIC=BACKEND where the backend's name differs."),
      property("api_key", &S::api_key, secret(), "Bearer token sent to it."),
      property("capacity", &S::capacity, whole(1, 1'000'000), "Requests it is sent at once."),
      property("idle_timeout", &S::idle_timeout, duration(kNone, hours(1)),
               "Kept connections older than this are not used again."),
  };
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

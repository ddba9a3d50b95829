#include "api/model_meters.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "net/shard.hpp"

namespace corral::api {
namespace {

double seconds_of(std::chrono::nanoseconds value) {
  return static_cast<double>(value.count()) / 1e9;
}

// What a request suffered from the model being loaded is no reason for another instance.
scheduler::ModelDemand demand_of(const CallNotes& notes) {
  scheduler::ModelDemand seen;
  seen.requests = 1;
  seen.queued = notes.queued;
  if (notes.first_token) {
    auto loading = std::max(notes.waited - notes.queued, std::chrono::nanoseconds(0));
    seen.first_tokens = 1;
    seen.to_first = std::max(*notes.first_token - loading, std::chrono::nanoseconds(0));
  }
  if (notes.generating && notes.usage.completion_tokens > 1) {
    seen.tokens = notes.usage.completion_tokens - 1;
    seen.generating = *notes.generating;
  }
  return seen;
}

const std::vector<double>& speed_buckets() {
  static const std::vector<double> buckets{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};
  return buckets;
}

}  // namespace

struct ModelMeters::Meters {
  telemetry::Counter ok, client_error, server_error;
  telemetry::Counter prompt_tokens, completion_tokens;
  telemetry::Histogram duration, first_token, speed, waited;
  models::ModelUse use;           // not yet taken; plain numbers, since the shard alone sees them
  scheduler::ModelDemand demand;  // likewise, under the table's lock

  Meters(telemetry::Metrics& m, const std::string& surface, const std::string& operation,
         const std::string& model)
      : ok(requests(m, surface, operation, model, "ok")),
        client_error(requests(m, surface, operation, model, "client_error")),
        server_error(requests(m, surface, operation, model, "server_error")),
        prompt_tokens(m.counter("corral_prompt_tokens_total", "Tokens of prompts.",
                                {{"surface", surface}, {"model", model}})),
        completion_tokens(m.counter("corral_completion_tokens_total", "Tokens generated.",
                                    {{"surface", surface}, {"model", model}})),
        duration(m.histogram("corral_model_request_duration_seconds",
                             "From the first byte of a request to the last of its answer.",
                             {{"surface", surface}, {"operation", operation}, {"model", model}},
                             telemetry::latency_buckets())),
        first_token(m.histogram("corral_time_to_first_token_seconds",
                                "From the first byte of a request to its first token.",
                                {{"surface", surface}, {"model", model}},
                                telemetry::latency_buckets())),
        speed(m.histogram("corral_tokens_per_second",
                          "Speed of generation after the first token, by answer.",
                          {{"surface", surface}, {"model", model}}, speed_buckets())),
        waited(m.histogram(
            "corral_wait_seconds", "Waiting for the model to be ready and for a place at it.",
            {{"surface", surface}, {"model", model}}, telemetry::latency_buckets())) {
    use.model = model;
  }

  static telemetry::Counter requests(telemetry::Metrics& m, const std::string& surface,
                                     const std::string& operation, const std::string& model,
                                     const char* outcome) {
    return m.counter(
        "corral_model_requests_total", "Requests for a model by outcome.",
        {{"surface", surface}, {"operation", operation}, {"model", model}, {"outcome", outcome}});
  }
};

struct ModelMeters::Table {
  std::mutex mutex;  // of the demands, which others take, and of putting more into `all`
  std::unordered_map<std::string, std::unique_ptr<Meters>> all;
  // Those of the last request, since the next one is likely to be of the same kind.
  std::string_view surface, operation;  // of static texts
  Meters* last = nullptr;
};

ModelMeters::ModelMeters(telemetry::Metrics& metrics, std::size_t shards)
    : metrics_(metrics), by_shard_(shards) {}

ModelMeters::~ModelMeters() = default;

ModelMeters::Meters& ModelMeters::find(std::string_view surface, const CallNotes& notes) {
  auto& table = by_shard_[net::Shard::current()->index()];
  std::string_view operation = inference::to_string(*notes.operation);
  if (table.last != nullptr && table.last->use.model == notes.model && table.surface == surface &&
      table.operation == operation) {
    return *table.last;
  }
  thread_local std::string key;
  key.assign(surface).append("\n").append(operation).append("\n").append(notes.model);
  auto it = table.all.find(key);
  if (it == table.all.end()) {
    auto meters = std::make_unique<Meters>(metrics_, std::string(surface), std::string(operation),
                                           notes.model);
    meters->demand.model = notes.model;
    meters->demand.embedding = *notes.operation == inference::Operation::embedding;
    std::lock_guard lock(table.mutex);
    it = table.all.emplace(key, std::move(meters)).first;
  }
  table.surface = surface;
  table.operation = operation;
  table.last = it->second.get();
  return *table.last;
}

void ModelMeters::record(std::string_view surface, const CallNotes& notes, int status,
                         double seconds) {
  // Only known models get series of their own: a hostile client must not be able to make more.
  if (!notes.operation || notes.model.empty()) return;
  Meters& meters = find(surface, notes);
  (notes.failed_midway || status >= 500 ? meters.server_error
   : status >= 400                      ? meters.client_error
                                        : meters.ok)
      .add();
  if (!notes.failed_midway && status < 400) {
    meters.use.requests += 1;
    meters.use.prompt_tokens += notes.usage.prompt_tokens;
    meters.use.completion_tokens += notes.usage.completion_tokens;
    std::lock_guard lock(by_shard_[net::Shard::current()->index()].mutex);
    meters.demand.add(demand_of(notes));
  }
  meters.duration.observe(seconds);
  meters.waited.observe(seconds_of(notes.waited));
  if (notes.usage.prompt_tokens > 0) {
    meters.prompt_tokens.add(static_cast<double>(notes.usage.prompt_tokens));
  }
  if (notes.usage.completion_tokens > 0) {
    meters.completion_tokens.add(static_cast<double>(notes.usage.completion_tokens));
  }
  if (notes.first_token) meters.first_token.observe(seconds_of(*notes.first_token));
  if (notes.generating && notes.usage.completion_tokens > 1) {
    double span = seconds_of(*notes.generating);
    if (span > 0) {
      meters.speed.observe(static_cast<double>(notes.usage.completion_tokens - 1) / span);
    }
  }
}

std::vector<scheduler::ModelDemand> ModelMeters::take_demand() {
  std::unordered_map<std::string, scheduler::ModelDemand> all;
  for (auto& table : by_shard_) {
    std::lock_guard lock(table.mutex);
    for (auto& [key, meters] : table.all) {
      auto& demand = meters->demand;
      if (demand.requests == 0) continue;
      auto [it, fresh] = all.try_emplace(demand.model + (demand.embedding ? "\n" : ""), demand);
      if (!fresh) it->second.add(demand);
      demand = {.model = demand.model, .embedding = demand.embedding};
    }
  }
  std::vector<scheduler::ModelDemand> taken;
  taken.reserve(all.size());
  for (auto& [key, demand] : all) taken.push_back(std::move(demand));
  return taken;
}

std::vector<models::ModelUse> ModelMeters::take_usage() {
  std::vector<models::ModelUse> taken;
  for (auto& [key, meters] : by_shard_[net::Shard::current()->index()].all) {
    models::ModelUse& use = meters->use;
    if (use.requests == 0) continue;
    taken.push_back(use);
    use.requests = use.prompt_tokens = use.completion_tokens = 0;
  }
  return taken;
}

}  // namespace corral::api

// Metrics of model requests: handles found once a (surface, operation, model) and kept by each
// shard. Thread rule: `record` and `take_usage` on a serving shard; each has its own table.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/call.hpp"
#include "models/usage_history.hpp"
#include "scheduler/demand.hpp"
#include "telemetry/metrics.hpp"

namespace corral::api {

class ModelMeters {
 public:
  ModelMeters(telemetry::Metrics& metrics, std::size_t shards);
  ~ModelMeters();

  // A request for a model ended: `status` as sent, `seconds` from first byte to last.
  void record(std::string_view surface, const CallNotes& notes, int status, double seconds);

  // What the calling shard has counted of answered requests since it was asked last.
  std::vector<models::ModelUse> take_usage();

  // What all shards have seen since it was asked last. Any thread.
  std::vector<scheduler::ModelDemand> take_demand();

 private:
  struct Meters;
  // Filled by one shard, emptied by whoever asks.
  struct Demands {
    std::mutex mutex;
    std::unordered_map<std::string, scheduler::ModelDemand> by_model;
  };
  void note_demand(const CallNotes& notes);
  Meters& find(std::string_view surface, const CallNotes& notes);

  telemetry::Metrics& metrics_;
  std::vector<std::unordered_map<std::string, std::unique_ptr<Meters>>> by_shard_;
  std::vector<Demands> demands_;
};

}  // namespace corral::api

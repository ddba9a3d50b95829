// Metrics of model requests: handles found once a (surface, operation, model) and kept by each
// shard. Thread rule: `record` and `take_usage` on a serving shard; each has its own table.
#pragma once

#include <memory>
#include <string>
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
  struct Table;
  Meters& find(std::string_view surface, const CallNotes& notes);

  telemetry::Metrics& metrics_;
  std::vector<Table> by_shard_;
};

}  // namespace corral::api

// Performs what core/autoscaler.hpp decides: keeps an autoscaler for each deployment that may have
// several instances, the last decisions, and what metrics show of both.
//
// Thread rule: belongs to the control shard. Lifecycle: with the scheduler.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "scheduler/core/autoscaler.hpp"
#include "scheduler/scaling_status.hpp"
#include "sys/clock.hpp"
#include "sys/host_cpu.hpp"
#include "telemetry/log.hpp"
#include "telemetry/metrics.hpp"

namespace corral::scheduler {

class Scaling {
 public:
  static constexpr std::size_t kKept = 200;          // decisions
  using Name = std::pair<std::string, std::string>;  // model and purpose

  Scaling(telemetry::Metrics& metrics, telemetry::Logger log, const sys::Clock& clock)
      : metrics_(metrics), log_(std::move(log)), clock_(clock) {}

  // Whether it is time to look again; reads how busy the processors are.
  bool due();
  double cpu() const { return cpu_; }
  // How many instances there should be, if another number than now.
  std::optional<unsigned> look(const Name& name, const config::AutoscaleSettings& policy,
                               const ScaleSample& sample);
  void forget(const Name& name);  // it was unloaded
  // What is there now, for metrics.
  void show(const Name& name, unsigned ready, unsigned wanted);

  const Autoscaler* find(const Name& name) const;
  const std::deque<ScalingRecord>& decisions() const { return decisions_; }

 private:
  void record(const Name& name, const ScaleDecision& decision);
  telemetry::Counter decided(const Name& name, ScaleDecision::Kind kind, ScaleSignal signal);

  struct Gauges {
    telemetry::Gauge ready, wanted;
  };
  telemetry::Metrics& metrics_;
  telemetry::Logger log_;
  const sys::Clock& clock_;
  std::map<Name, Autoscaler> scalers_;
  std::map<Name, Gauges> gauges_;
  std::deque<ScalingRecord> decisions_;
  std::optional<sys::Steady> looked_;
  std::optional<sys::CpuTimes> cpu_times_;
  double cpu_ = 0;
};

}  // namespace corral::scheduler

#include "models/bench_report.hpp"

#include <fmt/core.h>

#include <boost/json.hpp>
#include <cmath>

#include "base/json.hpp"
#include "base/text.hpp"
#include "models/tuned_settings.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

// Rates and times to five figures: more is noise.
double rounded(double value) {
  if (!std::isfinite(value) || value == 0) return 0;
  const double scale = std::pow(10.0, 4 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

bj::object describe(const BenchMeasure& measure) {
  return {{"prompt_tokens", measure.what.prompt},
          {"concurrency", measure.what.concurrency},
          {"rounds", measure.rounds},
          {"requests", measure.requests},
          {"prompt_tokens_per_second", rounded(measure.prompt_rate)},
          {"generation_tokens_per_second", rounded(measure.generation_rate)},
          {"generation_tokens_per_second_each", rounded(measure.generation_rate_each)},
          {"requests_per_second", rounded(measure.request_rate)},
          {"first_token_p50_ms", rounded(measure.first_token_p50 * 1000)},
          {"first_token_worst_ms", rounded(measure.first_token_worst * 1000)}};
}

bj::object describe(const BenchMachine& machine) {
  bj::array accelerators;
  for (const auto& each : machine.accelerators) accelerators.emplace_back(each);
  return {{"host", machine.host},           {"os", machine.os},
          {"cores", machine.cores},         {"logical_cpus", machine.logical_cpus},
          {"memory_bytes", machine.memory}, {"accelerators", std::move(accelerators)}};
}

bj::object settings_of(const BenchReport& report) {
  const StartPlan& plan = report.plan;
  return {{"device", plan.device},
          {"gpu_layers", plan.gpu_layers},
          {"context", plan.context},
          {"slots", plan.slots},
          {"threads", plan.threads},
          {"batch", plan.batch},
          {"cache_type", std::string(to_string(plan.cache))},
          {"repack", plan.repack},
          {"tuned", to_json(report.choice)}};
}

bj::value describe(const std::optional<TuneScore>& score) {
  if (!score) return nullptr;
  return bj::object{{"prompt_tokens_per_second", rounded(score->prompt)},
                    {"generation_tokens_per_second", rounded(score->generation)},
                    {"together_tokens_per_second", rounded(score->together)},
                    {"score", rounded(score->total())}};
}

bj::object describe(const BenchSearch& search) {
  bj::array trials;
  for (const auto& tried : search.tried) {
    trials.push_back(bj::object{
        {"settings", to_json(tried.choice)},
        {"what", tried.choice.empty() ? "the default" : models::describe(tried.choice)},
        {"rates", describe(tried.score)},
        {"problem", tried.problem.empty() ? bj::value(nullptr) : bj::value(tried.problem)}});
  }
  return {{"kept", search.outcome.better},
          {"settings", to_json(search.outcome.choice)},
          {"gain", rounded(search.outcome.gain)},
          {"why", search.outcome.why},
          {"trials", std::move(trials)}};
}

}  // namespace

std::string BenchMachine::mark() const {
  constexpr std::uint64_t kGiB = 1ull << 30;
  return fmt::format("{} of {} cores, {} GiB, {}", logical_cpus, cores, memory / kGiB,
                     accelerators.empty() ? "no accelerator" : join(accelerators, ", "));
}

std::string to_body(const BenchReport& report) {
  bj::array measures, skipped;
  for (const auto& each : report.measures) measures.push_back(describe(each));
  for (const auto& each : report.skipped) {
    skipped.push_back(
        bj::object{{"prompt_tokens", each.prompt}, {"concurrency", each.concurrency}});
  }
  bj::object out{{"operation", report.operation},
                 {"kind", report.search ? "tune" : "bench"},
                 {"purpose", report.purpose},
                 {"engine", report.engine.empty() ? bj::value(nullptr) : bj::value(report.engine)},
                 {"machine", describe(report.machine)},
                 {"settings", settings_of(report)},
                 {"generated_tokens", report.generated},
                 {"took_seconds", rounded(report.took_seconds)}};
  out["load_seconds"] =
      report.load_seconds ? bj::value(rounded(*report.load_seconds)) : bj::value(nullptr);
  out["resident_peak_bytes"] = report.resident_peak;
  out["estimated_bytes"] = report.plan.host_bytes;
  out["interruptions"] = report.interruptions;
  out["disturbed"] = rounded(report.disturbed);
  out["measures"] = std::move(measures);
  out["skipped"] = std::move(skipped);
  out["search"] = report.search ? bj::value(describe(*report.search)) : bj::value(nullptr);
  return json::serialize(bj::value(std::move(out)));
}

}  // namespace corral::models

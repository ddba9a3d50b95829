// Of models that could be had, those that fit this machine, best first, and why.
//
// A model counts for more the more parameters it has (the first billions most), the less its
// quantization takes of its quality, and the faster it would run here: an answer that nobody waits
// for is no good answer. How often it was downloaded decides between equals.
//
// Thread rule: a pure function.
// Example:
//   for (const Recommendation& each : recommend(candidates, machine, {.context = 4096})) {
//     offer(each.name, each.why);
//   }
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "models/core/plan.hpp"
#include "models/gguf.hpp"

namespace corral::models {

struct Candidate {
  std::string name;
  std::uint64_t bytes = 0;       // of all its files
  std::uint64_t parameters = 0;  // 0: unknown; guessed from bytes and quantization
  std::string quantization;      // "Q4_K_M"; empty: unknown
  std::uint64_t downloads = 0;
  std::shared_ptr<const GgufMetadata> metadata;  // where it is known: then the estimate is exact
};

struct Recommendation {
  std::string name;
  std::string device;  // where it would run
  std::uint64_t memory = 0;
  std::uint64_t context = 0;  // tokens a slot that fit
  double score = 0;           // to order by; higher is better
  std::string why;
};

// One of them. unavailable: it does not fit; what it needs, what there is, and what would fit.
Result<Recommendation> judge_fit(const Candidate& candidate, const Machine& machine,
                                 const StartWishes& wishes);

// Best first; equal ones by name. What does not fit is left out.
std::vector<Recommendation> recommend(const std::vector<Candidate>& candidates,
                                      const Machine& machine, const StartWishes& wishes);

}  // namespace corral::models

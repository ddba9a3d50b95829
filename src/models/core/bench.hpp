// What a benchmark measures, in which order, how long, and what the measurements come to.
//
// A case is a length of prompt and a number of requests at once; it is measured in rounds. Small
// cases come first, each at least once before any is repeated. A round is begun only if, by what
// rounds took so far, it ends within the budget; the very first is always begun.
//
// Rates are as a client sees them: prompt tokens until the first token came back, and tokens
// between the first and the last. Of several rounds the median counts.
//
// Thread rule: plain values with one owner; time comes in.
// Example:
//   BenchCourse course({.cases = bench_cases({128, 512}, {1, 4}), .repeats = 3, .budget = 2min});
//   while (auto index = course.next(elapsed())) course.measured(run(course.cases()[*index]));
//   for (const BenchMeasure& measure : course.results()) show(measure);
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace corral::models {

struct BenchCase {
  unsigned prompt = 0;       // tokens
  unsigned concurrency = 1;  // requests at once
  bool operator==(const BenchCase&) const = default;
};

// One request of a round; times are since the round began.
struct BenchSample {
  std::chrono::duration<double> begun{0};
  std::chrono::duration<double> first{0};  // when the first token came
  std::chrono::duration<double> ended{0};
  std::uint64_t prompt = 0;     // tokens that were computed
  std::uint64_t generated = 0;  // tokens
};

struct BenchRound {
  std::vector<BenchSample> samples;
  std::chrono::duration<double> took{0};
};

struct BenchMeasure {
  BenchCase what;
  unsigned rounds = 0;
  std::uint64_t requests = 0;
  double prompt_rate = 0;           // tokens/s of all requests together
  double generation_rate = 0;       // the same, from the first token of any to the last of all
  double generation_rate_each = 0;  // tokens/s of one request
  double request_rate = 0;          // requests/s
  double first_token_p50 = 0;       // seconds
  double first_token_worst = 0;
};

BenchMeasure measure_of(const BenchCase& what, const std::vector<BenchRound>& rounds);

// Every length with every concurrency, cheapest first; doubles are left out.
std::vector<BenchCase> bench_cases(const std::vector<unsigned>& prompts,
                                   const std::vector<unsigned>& concurrency);

// Lengths to measure where nobody asked for some: of 128, 512 and 2048 those that leave room for
// `generated` tokens in a context, else half of the context.
std::vector<unsigned> default_prompts(std::uint64_t context, std::uint64_t generated);

class BenchCourse {
 public:
  using Seconds = std::chrono::duration<double>;
  struct Options {
    std::vector<BenchCase> cases;
    unsigned repeats = 3;
    Seconds budget{120};
  };

  explicit BenchCourse(Options options);

  const std::vector<BenchCase>& cases() const { return options_.cases; }
  // Which case to measure now; none: it is over.
  std::optional<std::size_t> next(Seconds elapsed);
  void measured(BenchRound round);  // of the case that `next` named

  std::size_t rounds_done() const { return done_; }
  std::size_t rounds_wanted() const { return options_.cases.size() * options_.repeats; }
  std::vector<BenchMeasure> results() const;  // of the cases that were measured
  std::vector<BenchCase> skipped() const;     // for which there was no time

 private:
  Seconds expected(std::size_t index) const;

  Options options_;
  std::vector<std::vector<BenchRound>> rounds_;  // by case
  std::size_t at_ = 0;
  std::size_t done_ = 0;
};

double median(std::vector<double> values);  // 0 of none

}  // namespace corral::models

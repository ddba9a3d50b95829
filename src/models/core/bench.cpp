#include "models/core/bench.hpp"

#include <algorithm>
#include <array>

#include "base/stable_sort.hpp"

namespace corral::models {
namespace {

double rate(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

struct RoundRates {
  double prompt = 0;
  double generation = 0;
  double each = 0;
  double requests = 0;
};

RoundRates rates_of(const BenchRound& round) {
  RoundRates out;
  double first = 0, last_first = 0, ended = 0, prompt = 0, generated = 0;
  std::vector<double> each;
  each.reserve(round.samples.size());
  bool any = false;
  for (const BenchSample& sample : round.samples) {
    const double at = sample.first.count();
    first = any ? std::min(first, at) : at;
    last_first = std::max(last_first, at);
    ended = std::max(ended, sample.ended.count());
    prompt += static_cast<double>(sample.prompt);
    // The first token belongs to the prompt.
    const double more = sample.generated > 1 ? static_cast<double>(sample.generated - 1) : 0;
    generated += more;
    if (more > 0) each.push_back(rate(more, sample.ended.count() - at));
    any = true;
  }
  out.prompt = rate(prompt, last_first);
  out.generation = rate(generated, ended - first);
  out.each = median(std::move(each));
  out.requests = rate(static_cast<double>(round.samples.size()), ended);
  return out;
}

double cost_of(const BenchCase& what) {
  return static_cast<double>(what.prompt) * static_cast<double>(what.concurrency);
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

BenchMeasure measure_of(const BenchCase& what, const std::vector<BenchRound>& rounds) {
  BenchMeasure out;
  out.what = what;
  out.rounds = static_cast<unsigned>(rounds.size());
  std::vector<double> prompt, generation, each, requests, waits;
  prompt.reserve(rounds.size());
  generation.reserve(rounds.size());
  each.reserve(rounds.size());
  requests.reserve(rounds.size());
  waits.reserve(rounds.size() * what.concurrency);
  for (const BenchRound& round : rounds) {
    const RoundRates rates = rates_of(round);
    prompt.push_back(rates.prompt);
    generation.push_back(rates.generation);
    each.push_back(rates.each);
    requests.push_back(rates.requests);
    out.requests += round.samples.size();
    for (const BenchSample& sample : round.samples) {
      waits.push_back((sample.first - sample.begun).count());
    }
  }
  if (!waits.empty()) out.first_token_worst = std::ranges::max(waits);
  out.prompt_rate = median(std::move(prompt));
  out.generation_rate = median(std::move(generation));
  out.generation_rate_each = median(std::move(each));
  out.request_rate = median(std::move(requests));
  out.first_token_p50 = median(std::move(waits));
  return out;
}

std::vector<BenchCase> bench_cases(const std::vector<unsigned>& prompts,
                                   const std::vector<unsigned>& concurrency) {
  std::vector<BenchCase> out;
  out.reserve(prompts.size() * concurrency.size());
  for (unsigned at_once : concurrency) {
    for (unsigned prompt : prompts) {
      const BenchCase one{prompt, at_once};
      if (std::ranges::find(out, one) == out.end()) out.push_back(one);
    }
  }
  sort_stably(out, {}, cost_of);
  return out;
}

std::vector<unsigned> default_prompts(std::uint64_t context, std::uint64_t generated) {
  constexpr std::array kLengths{128u, 512u, 2048u};
  std::vector<unsigned> out;
  out.reserve(kLengths.size());
  for (unsigned length : kLengths) {
    if (length + generated <= context) out.push_back(length);
  }
  if (out.empty()) out.push_back(static_cast<unsigned>(std::max<std::uint64_t>(context / 2, 1)));
  return out;
}

BenchCourse::BenchCourse(Options options)
    : options_(std::move(options)), rounds_(options_.cases.size()) {
  options_.repeats = std::max(options_.repeats, 1u);
}

// As long as its own rounds took; else as the last measured case, by their sizes.
BenchCourse::Seconds BenchCourse::expected(std::size_t index) const {
  if (!rounds_[index].empty()) {
    Seconds longest{0};
    for (const BenchRound& round : rounds_[index]) longest = std::max(longest, round.took);
    return longest;
  }
  for (std::size_t before = index; before-- > 0;) {
    if (rounds_[before].empty()) continue;
    const double growth =
        cost_of(options_.cases[index]) / std::max(cost_of(options_.cases[before]), 1.0);
    return rounds_[before].back().took * std::max(growth, 1.0);
  }
  return Seconds{0};
}

std::optional<std::size_t> BenchCourse::next(Seconds elapsed) {
  const std::size_t count = options_.cases.size();
  for (; at_ < count * options_.repeats; ++at_) {
    const std::size_t index = at_ % count;
    if (done_ == 0 || elapsed + expected(index) <= options_.budget) return index;
  }
  return std::nullopt;
}

void BenchCourse::measured(BenchRound round) {
  rounds_[at_ % options_.cases.size()].push_back(std::move(round));
  ++at_;
  ++done_;
}

std::vector<BenchMeasure> BenchCourse::results() const {
  std::vector<BenchMeasure> out;
  out.reserve(rounds_.size());
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    if (!rounds_[i].empty()) out.push_back(measure_of(options_.cases[i], rounds_[i]));
  }
  return out;
}

std::vector<BenchCase> BenchCourse::skipped() const {
  std::vector<BenchCase> out;
  out.reserve(rounds_.size());
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    if (rounds_[i].empty()) out.push_back(options_.cases[i]);
  }
  return out;
}

}  // namespace corral::models

#include "scheduler/bench_run.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "scheduler/bench_client.hpp"

namespace corral::scheduler {
namespace {

constexpr unsigned kMostPrompt = 1u << 20, kMostAtOnce = 256, kMostTokens = 65'536;
constexpr std::size_t kMostValues = 16;
constexpr unsigned kMostRepeats = 100;
constexpr std::chrono::milliseconds kLeastBudget{1'000};
constexpr std::chrono::hours kMostBudget{24};
constexpr std::chrono::minutes kBudget{2}, kTuneBudget{5};
constexpr std::chrono::milliseconds kRunLook{50};
constexpr unsigned kTokens = 64, kTuneTokens = 32, kTunePrompt = 256;
constexpr unsigned kWarmPrompt = 8, kWarmTokens = 2;
constexpr unsigned kTuneRepeats = 2;

Result<void> check_numbers(const std::vector<unsigned>& values, unsigned most, const char* name) {
  const bool right = values.size() <= kMostValues && std::ranges::all_of(values, [&](unsigned one) {
                       return one >= 1 && one <= most;
                     });
  if (right) return {};
  return fail(
             ErrorCode::invalid_argument,
             fmt::format("\"{}\" must be at most {} numbers from 1 to {}", name, kMostValues, most))
      .field(name);
}

Result<void> check_number(std::uint64_t value, std::uint64_t least, std::uint64_t most,
                          const char* name) {
  if (value >= least && value <= most) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("\"{}\" must be a number from {} to {}", name, least, most))
      .field(name);
}

template <class T>
net::Task<void> hand_over(net::Task<T> task, std::shared_ptr<net::OneShot<T>> slot) {
  T value = co_await std::move(task);
  slot->fulfil(std::move(value));
}

std::string name_of(const models::BenchCase& what) {
  return fmt::format("{} tokens, {} at once", what.prompt, what.concurrency);
}

}  // namespace

Result<void> check(const BenchOptions& options) {
  CORRAL_CHECK(check_numbers(options.prompts, kMostPrompt, "prompts"));
  CORRAL_CHECK(check_numbers(options.concurrency, kMostAtOnce, "concurrency"));
  CORRAL_CHECK(check_number(options.tokens, 0, kMostTokens, "tokens"));
  CORRAL_CHECK(check_number(options.repeats, 1, kMostRepeats, "repeats"));
  const bool in_range = options.budget.count() == 0 ||
                        (options.budget >= kLeastBudget && options.budget <= kMostBudget);
  if (options.smaller_cache && !options.tune) {
    return fail(ErrorCode::invalid_argument, "\"smaller_cache\" is for a search")
        .field("smaller_cache")
        .hint("set \"tune\" too, or cache_type in models.settings");
  }
  if (in_range) return {};
  return fail(ErrorCode::invalid_argument, "\"budget\" must be a time from 1s to 24h")
      .field("budget");
}

Result<BenchOptions> resolve(BenchOptions options, const BenchPlan& plan) {
  CORRAL_CHECK(check(options));
  if (options.tune && !plan.main_purpose) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("'{}' is not for that, so no settings are searched for it", plan.model))
        .field("purpose")
        .hint("leave \"purpose\" out, or \"tune\"");
  }
  const auto context = std::max<std::uint64_t>(plan.plan.context, 1);
  const bool chat = plan.purpose == engines::Purpose::chat;
  if (!chat) {
    options.tokens = 0;
  } else if (options.tokens == 0) {
    options.tokens = static_cast<unsigned>(
        std::clamp<std::uint64_t>(context / 4, 1, options.tune ? kTuneTokens : kTokens));
  }
  if (options.prompts.empty()) {
    options.prompts = models::default_prompts(context, options.tokens);
    if (options.tune) {
      const bool fits = kTunePrompt + options.tokens <= context;
      options.prompts = {fits ? kTunePrompt : options.prompts.front()};
    }
  }
  const unsigned longest = std::ranges::max(options.prompts);
  if (longest + static_cast<std::uint64_t>(options.tokens) > context) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a prompt of {} tokens and {} to generate do not fit the context of {} "
                            "tokens",
                            longest, options.tokens, context))
        .field("prompts")
        .hint("ask for shorter prompts, or give the model a longer context in models.settings");
  }
  if (options.concurrency.empty()) {
    options.concurrency = {1u};
    if (plan.plan.slots > 1) options.concurrency.push_back(static_cast<unsigned>(plan.plan.slots));
  }
  if (options.budget.count() == 0) options.budget = options.tune ? kTuneBudget : kBudget;
  return options;
}

BenchRun::BenchRun(Parts parts, BenchPlan plan, BenchOptions options)
    : parts_(std::move(parts)),
      plan_(std::move(plan)),
      options_(std::move(options)),
      tasks_(parts_.control),
      began_(parts_.clock.now()),
      seed_(static_cast<std::uint64_t>(began_.time_since_epoch().count())) {
  report_.purpose = engines::to_string(plan_.purpose);
  report_.plan = plan_.plan;
  report_.choice = plan_.choice;
  report_.generated = options_.tokens;
}

net::Task<Result<models::BenchReport>> BenchRun::run() {
  report_.machine = parts_.scheduler.bench_machine();
  Result<void> done;
  if (options_.tune) {
    done = co_await tune();
  } else {
    done = co_await bench();
  }
  co_await tasks_.close();
  endpoint_.reset();
  co_await parts_.scheduler.end_bench();
  if (cancelled_) co_return fail(ErrorCode::cancelled, "the benchmark was cancelled");
  if (!done) co_return std::unexpected(std::move(done).error());
  report_.took_seconds = elapsed().count();
  report_.disturbed =
      looks_ == 0 ? 0 : static_cast<double>(disturbed_) / static_cast<double>(looks_);
  co_return std::move(report_);
}

void BenchRun::tell(const std::string& what) {
  const Seconds left = std::max(Seconds(options_.budget) - elapsed(), Seconds(0));
  parts_.tell(what, std::chrono::ceil<std::chrono::seconds>(left));
}

// --- one engine ----------------------------------------------------------------------------------

net::Task<Result<void>> BenchRun::bench() {
  Course::Options cases;
  cases.cases = models::bench_cases(options_.prompts, options_.concurrency);
  cases.repeats = options_.repeats;
  cases.budget = options_.budget;
  // What was begun in time is not cut off: a slow model has its one round.
  CORRAL_CO_TRY(auto course,
                co_await supervised(plan_.choice, std::move(cases), Seconds(kMostBudget)));
  report_.measures = course.results();
  report_.skipped = course.skipped();
  co_return Result<void>();
}

// Lets it run for so long, and looks at the engine meanwhile.
net::Task<Result<BenchRun::Course>> BenchRun::supervised(models::EngineChoice choice,
                                                         Course::Options cases, Seconds limit) {
  auto tried = std::make_shared<Attempt>(Attempt{false, {}, Course(std::move(cases))});
  const auto begun = parts_.clock.now();
  if (!tasks_.spawn(attempt(choice, tried))) {
    co_return fail(ErrorCode::unavailable, "the server is shutting down");
  }
  bool late = false;
  while (!tried->over) {
    auto awake = co_await net::sleep_for(kRunLook);
    cancelled_ = cancelled_ || !awake;
    late = late || parts_.clock.now() - begun >= limit;
    if (cancelled_ || late) break;
    look();
  }
  // What it begins meanwhile is cancelled as well.
  while (!tried->over) {
    tasks_.cancel();
    auto awake = co_await net::sleep_for(kRunLook);
    if (awake) continue;
    auto next = net::Wakeup::create();
    parts_.control.post([next] { next->notify(); });
    co_await next->wait_uncancellable();
  }
  if (cancelled_) co_return fail(ErrorCode::cancelled, "the benchmark was cancelled");
  if (tried->result) co_return std::move(tried->course);
  if (late) co_return fail(ErrorCode::timeout, "it took longer than there was time");
  co_return std::unexpected(tried->result.error());
}

void BenchRun::look() {
  const auto state = parts_.scheduler.bench_state();
  report_.resident_peak = std::max(report_.resident_peak, state.resident_bytes);
  if (state.load_time) report_.load_seconds = state.load_time->count();
  ++looks_;
  disturbed_ += state.others_busy ? 1 : 0;
}

net::Task<void> BenchRun::attempt(models::EngineChoice choice, std::shared_ptr<Attempt> into) {
  into->result = co_await measure(choice, into);
  into->over = true;
}

net::Task<Result<void>> BenchRun::measure(models::EngineChoice choice,
                                          std::shared_ptr<Attempt> into) {
  if (!options_.tune) tell("loading");
  endpoint_.reset();
  CORRAL_CO_CHECK(co_await parts_.scheduler.start_bench({plan_.model, plan_.purpose, choice}));
  report_.resident_peak = 0;
  CORRAL_CO_TRY(endpoint_, co_await parts_.scheduler.ensure_bench());
  if (report_.engine.empty()) {
    report_.engine = co_await engine_build(endpoint_->address());
  }
  // The first request touches all weights, and is not counted.
  const unsigned warm = std::min(kWarmPrompt, options_.prompts.front());
  CORRAL_CO_CHECK(co_await round({warm, 1}, kWarmTokens));
  Course& course = into->course;
  const auto begun = parts_.clock.now();
  while (auto index = course.next(parts_.clock.now() - begun)) {
    const models::BenchCase what = course.cases()[*index];
    if (!options_.tune) {
      tell(fmt::format("{} (round {} of {})", name_of(what), course.rounds_done() + 1,
                       course.rounds_wanted()));
    }
    CORRAL_CO_TRY(auto measured, co_await round(what, options_.tokens));
    course.measured(std::move(measured));
    look();
  }
  co_return Result<void>();
}

// Into the engine, which others may have had to make room for meanwhile.
net::Task<Result<gateway::Lease>> BenchRun::enter() {
  for (;;) {
    auto lease = endpoint_->try_acquire();
    if (lease) co_return std::move(lease);
    ++report_.interruptions;
    CORRAL_CO_TRY(endpoint_, co_await parts_.scheduler.ensure_bench());
    auto awake = co_await net::sleep_for(std::chrono::milliseconds(1));
    if (!awake) co_return std::unexpected(awake.error());
  }
}

net::Task<Result<models::BenchRound>> BenchRun::round(models::BenchCase what, unsigned generate) {
  CORRAL_CO_TRY(auto lease, co_await enter());
  const auto begun = parts_.clock.now();
  CORRAL_CO_TRY(auto samples, co_await ask_all(what, std::max(generate, 1u)));
  models::BenchRound out;
  out.samples = std::move(samples);
  out.took = parts_.clock.now() - begun;
  co_return out;
}

net::Task<Result<std::vector<models::BenchSample>>> BenchRun::ask_all(models::BenchCase what,
                                                                      unsigned generate) {
  using Slot = net::OneShot<Result<models::BenchSample>>;
  std::vector<std::shared_ptr<Slot>> slots;
  slots.reserve(what.concurrency);
  const auto address = endpoint_->address();
  const auto begun = parts_.clock.now();
  for (unsigned i = 0; i < what.concurrency; ++i) {
    BenchAsk ask{plan_.purpose, bench_prompt(plan_.vocabulary, what.prompt, ++seed_), generate};
    auto slot = Slot::create();
    auto asking = ask_engine(address, std::move(ask), begun, kMostBudget);
    if (!tasks_.spawn(hand_over(std::move(asking), slot))) {
      slot->fulfil(fail(ErrorCode::cancelled, "the benchmark was cancelled"));
    }
    slots.push_back(std::move(slot));
  }
  std::vector<models::BenchSample> out;
  out.reserve(what.concurrency);
  std::optional<Error> problem;
  for (auto& slot : slots) {
    auto sample = co_await slot->wait_uncancellable();
    if (*sample) {
      out.push_back(**sample);
    } else if (!problem) {
      problem = sample->error();
    }
  }
  if (problem) co_return std::unexpected(std::move(*problem));
  co_return out;
}

// --- a search ------------------------------------------------------------------------------------

BenchRun::Course::Options BenchRun::tune_cases() const {
  Course::Options out;
  const unsigned most = std::ranges::max(options_.concurrency);
  out.cases = models::bench_cases({options_.prompts.front()}, {1u, most});
  out.repeats = std::min(options_.repeats, kTuneRepeats);
  out.budget = Seconds(kMostBudget);  // every case is needed; the trial has its own limit
  return out;
}

net::Task<Result<models::TuneScore>> BenchRun::trial(models::Tuner::Trial wanted) {
  CORRAL_CO_TRY(auto course, co_await supervised(wanted.choice, tune_cases(), wanted.limit));
  const auto measures = course.results();
  models::TuneScore score;
  score.prompt = measures.front().prompt_rate;
  score.generation = measures.front().generation_rate;
  const bool chat = plan_.purpose == engines::Purpose::chat;
  if (measures.size() > 1) {
    score.together = chat ? measures.back().generation_rate : measures.back().prompt_rate;
  }
  co_return score;
}

net::Task<Result<void>> BenchRun::tune() {
  const auto& plan = plan_.plan;
  models::TuneFacts facts;
  facts.threads = plan.threads;
  facts.logical_cpus = std::max(report_.machine.logical_cpus, plan.threads);
  facts.batch = static_cast<unsigned>(plan.batch);
  facts.slots = static_cast<unsigned>(plan.slots);
  facts.concurrency = std::ranges::max(options_.concurrency);
  facts.context = plan.context;
  facts.on_host = plan.estimate.host.weights > 0 || plan.gpu_layers == 0;
  facts.can_repack = plan_.can_repack;
  facts.layers = plan.gpu_layers;
  facts.smaller_cache = options_.smaller_cache;
  facts.embedding = plan_.purpose == engines::Purpose::embedding;
  facts.fixed_threads = plan_.says.threads;
  facts.fixed_batch = plan_.says.batch;
  facts.fixed_slots = plan_.says.slots;
  facts.fixed_cache = plan_.says.cache;
  facts.fixed_layers = plan_.says.layers;
  models::Tuner tuner({.budget = options_.budget}, models::tune_axes(facts));
  unsigned number = 0;
  while (auto wanted = tuner.next(elapsed())) {
    tell(fmt::format("trial {}: {}", ++number, wanted->what));
    const auto begun = elapsed();
    auto score = co_await trial(*wanted);
    if (cancelled_) co_return fail(ErrorCode::cancelled, "the benchmark was cancelled");
    const auto took = elapsed() - begun;
    if (score) {
      tuner.measured(*score, took);
    } else {
      tuner.failed(score.error().describe(), took);
    }
  }
  report_.search = models::BenchSearch{tuner.outcome(), tuner.base(), tuner.tried()};
  // Without a single measurement there is nothing to keep.
  if (!tuner.base()) co_return fail(ErrorCode::unavailable, tuner.outcome().why);
  co_return Result<void>();
}

}  // namespace corral::scheduler

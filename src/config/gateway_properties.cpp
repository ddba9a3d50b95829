#include "config/gateway_properties.hpp"

#include "config/property_makers.hpp"

namespace corral::config {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr unsigned kMostWeight = 1000;

std::vector<Property<BreakerSettings>> breaker_properties() {
  using S = BreakerSettings;
  return {
      property("failures", &S::failures, whole(1, 1000),
               "Failures in a row after which an endpoint's model gets no requests for a while."),
      property("error_rate", &S::error_rate, real(0.01, 1),
               "The same for this share of failures in the window, once min_volume is reached."),
      property("min_volume", &S::min_volume, whole(1, 1'000'000),
               "Requests in the window that make its share of failures count."),
      property("window", &S::window, duration(seconds(1), hours(1)),
               "Over which the share of failures is taken."),
      property("recovery_local", &S::recovery_local, duration(kShortest, days(1)),
               "Pause before trials, for instances of our own."),
      property("recovery_remote", &S::recovery_remote, duration(kShortest, days(1)),
               "Pause before trials, for all other endpoints."),
      property("trials", &S::trials, whole(1, 1000),
               "Requests let through after the pause; when all are answered, it is over."),
      property("cooldown", &S::cooldown, duration(kNone, hours(1)),
               "Pause after an endpoint said 429 without saying for how long."),
  };
}

std::vector<Property<HealthSettings>> health_properties() {
  using S = HealthSettings;
  return {
      property("probe_interval", &S::probe_interval, duration(kNone, days(1)),
               "How often an endpoint is asked whether it is well; 0: never."),
      property("probe_timeout", &S::probe_timeout, duration(kShortest, minutes(10)),
               "Time for it to answer."),
      property("strikes", &S::strikes, whole(1, 1000),
               "Failed probes in a row after which it gets no more requests."),
      property("validate", &S::validate, flag(),
               "Before it gets requests again, send a real one for a single token."),
      property("slow_start", &S::slow_start, duration(kNone, hours(1)),
               "Time from its return until it gets its full share of requests."),
  };
}

std::vector<Property<RouteSettings>> make_route_properties() {
  using S = RouteSettings;
  const auto or_default = duration_or_default(kShortest, days(7));
  return {
      required(property("name", &S::name, text(),
                        "The public model name. May end in `*`, which stands for one or more "
                        "characters: `openai/*`.")),
      property("aliases", &S::aliases, texts(), "Other public names of the route."),
      list_property("targets", &S::targets, target_properties(),
                    "Where requests go: the endpoints and the models there."),
      property("fallbacks", &S::fallbacks, texts(),
               "Public names of routes or models to try, in order, when no target could answer."),
      property("balance", &S::balance, balance(),
               "How to choose among the targets of a group: by latency and load (peak_ewma), in "
               "turn (round_robin), by weight alone (weighted), by requests in flight "
               "(least_busy), by who asks (sticky), or where the beginning of the prompt was "
               "served last (prefix)."),
      property("sticky_by", &S::sticky_by, sticky_by(),
               "What sticky keeps together: the requests of a user, or of a session."),
      property("balance_factor", &S::balance_factor, real(1, 100),
               "With prefix: a target with more than so many times the mean load is passed over, "
               "though it holds the prompt's beginning."),
      property("parameters", &S::parameters, scalars(),
               "Parameters put into requests that do not set them, such as `{temperature: 0.2}`."),
      property("tries", &S::tries, whole(1, 20), "Attempts for a request, the first included."),
      property("retry_backoff_min", &S::retry_backoff_min, duration(kNone, hours(1)),
               "Pause before the second attempt; doubles with each, with jitter."),
      property("retry_backoff_max", &S::retry_backoff_max, duration(kNone, hours(1)),
               "Longest such pause."),
      property("background_backoff_min", &S::background_backoff_min, duration(kNone, hours(1)),
               "The same for requests with low priority."),
      property("background_backoff_max", &S::background_backoff_max, duration(kNone, hours(1)),
               "Longest such pause."),
      property("retry_budget", &S::retry_budget, real(0, 1),
               "Retries for each request, on average: 0.2 is at most 20 % more load."),
      property("hedge", &S::hedge, flag(),
               "Ask a second endpoint when the first takes longer than 95 % of requests do; the "
               "first answer wins."),
      property("hedge_budget", &S::hedge_budget, real(0, 1),
               "Share of requests that may be asked twice in this way."),
      property("resume", &S::resume, flag(),
               "Continue a stream that broke midway on another endpoint, where its binding can."),
      property("connect_timeout", &S::connect_timeout, or_default,
               "Time to reach an endpoint; default: gateway.connect_timeout, and so on below."),
      property("first_token_timeout", &S::first_token_timeout, or_default,
               "Time from the request to the first token of its answer."),
      property("between_tokens_timeout", &S::between_tokens_timeout, or_default,
               "Longest pause within an answer."),
      property("total_timeout", &S::total_timeout, or_default, "Time for a whole answer."),
      property("queue_limit", &S::queue_limit, whole_or_default(0, 1'000'000),
               "Requests that may wait for a place; more get 503."),
      property("queue_timeout", &S::queue_timeout, duration_or_default(kNone, days(1)),
               "Longest wait for a place."),
      property("cache", &S::cache, cache_policy(),
               "Which answers are kept and given again to the same request: none; those of "
               "requests that ask for it (opt_in); those and all with temperature 0."),
      property("cache_ttl", &S::cache_ttl, duration(kNone, days(365)),
               "How long they are kept; 0: only requests at the same time share an answer."),
  };
}

}  // namespace

std::vector<Property<GatewaySettings>> gateway_properties() {
  using S = GatewaySettings;
  std::vector<Property<S>> table = {
      property("connect_timeout", &S::connect_timeout, duration(kShortest, hours(1)),
               "Time to reach an endpoint."),
      property("first_token_timeout", &S::first_token_timeout, duration(kShortest, days(1)),
               "Time from the request to the first token of its answer."),
      property("between_tokens_timeout", &S::between_tokens_timeout, duration(kShortest, days(1)),
               "Longest pause within an answer."),
      property("total_timeout", &S::total_timeout, duration(kShortest, days(7)),
               "Time for a whole answer."),
      property("queue_limit", &S::queue_limit, whole(0, 1'000'000),
               "Requests that may wait for a place on a route; more get 503."),
      property("queue_timeout", &S::queue_timeout, duration(kNone, days(1)),
               "Longest wait for a place."),
      property("retry_after", &S::retry_after, duration(seconds(1), days(1)),
               "What a 503 tells clients to wait when nothing better is known."),
      property("default_priority", &S::default_priority, priority(),
               "Of requests that do not ask for one with `x-corral-priority`."),
      property("max_priority", &S::max_priority, priority(),
               "The highest that a request gets, whatever it asks for."),
      property("cache_bytes", &S::cache_bytes, bytes(0, 1ull << 40),
               "Memory for kept answers of all routes; 0: none are kept."),
      property(
          "embedding_batch", &S::embedding_batch, duration(kNone, seconds(1)),
          "How long a request for embeddings may wait for others like it, to be sent together; "
          "only while such requests are under way. 0: never."),
  };
  mount(table, "breaker", &S::breaker, breaker_properties());
  mount(table, "health", &S::health, health_properties());
  return table;
}

const std::vector<Property<EndpointSettings>>& endpoint_properties() {
  using S = EndpointSettings;
  static const std::vector<Property<S>> table = {
      required(property("name", &S::name, text(),
                        "Name in routes, logs and metrics; letters, digits, `._-`.")),
      required(property("binding", &S::binding, choice({"llamacpp", "openai"}), "What it speaks.")),
      required(property("url", &S::url, text(),
                        "http://HOST:PORT, https://HOST, or unix:/PATH; a path after it is kept.")),
      property("models", &S::models, texts(),
               "Public names of its models; PUBLIC=BACKEND where the backend's name differs."),
      property("api_key", &S::api_key, secret(), "Bearer token sent to it."),
      property("capacity", &S::capacity, whole(1, 1'000'000), "Requests it is sent at once."),
      property("weight", &S::weight, whole(0, kMostWeight),
               "Its share of the requests, against other endpoints; 0: none."),
      property("idle_timeout", &S::idle_timeout, duration(kNone, hours(1)),
               "Kept connections older than this are not used again."),
      property("device", &S::device, text(),
               "The device of this machine that it uses, such as `cpu` or `CUDA0`; empty: none."),
      property("memory", &S::memory, bytes(0, kMostMemory),
               "How much of that device's memory it uses: engines get so much less."),
  };
  return table;
}

const std::vector<Property<TargetSettings>>& target_properties() {
  using S = TargetSettings;
  static const std::vector<Property<S>> table = {
      required(property("endpoint", &S::endpoint, text(),
                        "Name of an endpoint; `local` for the engines that Corral runs itself.")),
      property("model", &S::model, text(),
               "Name of the model there; `*` in it is what the `*` of the route's name stood for. "
               "Empty: as the route's name."),
      property("weight", &S::weight, whole_or_default(0, kMostWeight),
               "Its share of the requests, against others of the group; 0: none; default: that of "
               "the endpoint."),
      property("group", &S::group, whole(0, 1000),
               "Groups are tried from the lowest to the highest."),
  };
  return table;
}

const std::vector<Property<RouteSettings>>& route_properties() {
  static const auto table = make_route_properties();
  return table;
}

}  // namespace corral::config

#include "telemetry/metrics.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <map>
#include <mutex>
#include <variant>

#include "base/bug.hpp"

namespace corral::telemetry {

void Counter::add(double amount) const {
  static_cast<prometheus::Counter*>(impl_)->Increment(amount);
}
double Counter::value() const { return static_cast<prometheus::Counter*>(impl_)->Value(); }

void Gauge::set(double value) const { static_cast<prometheus::Gauge*>(impl_)->Set(value); }
void Gauge::add(double amount) const { static_cast<prometheus::Gauge*>(impl_)->Increment(amount); }
void Gauge::sub(double amount) const { static_cast<prometheus::Gauge*>(impl_)->Decrement(amount); }
double Gauge::value() const { return static_cast<prometheus::Gauge*>(impl_)->Value(); }

void Histogram::observe(double value) const {
  static_cast<prometheus::Histogram*>(impl_)->Observe(value);
}

struct Metrics::Impl {
  using AnyFamily =
      std::variant<prometheus::Family<prometheus::Counter>*, prometheus::Family<prometheus::Gauge>*,
                   prometheus::Family<prometheus::Histogram>*>;

  prometheus::Registry registry;
  // Where the handles of misused names lead: they work, but nobody sees them.
  prometheus::Registry discarded;
  std::mutex mutex;
  std::map<std::string, AnyFamily> families;
  std::vector<std::function<void()>> refreshers;

  // The time series of `name` and `labels`, of type T. `build` starts the family.
  template <class T, class Build, class... Extra>
  T& child(const std::string& name, const Labels& labels, Build build, const Extra&... extra) {
    const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
    try {
      std::lock_guard lock(mutex);
      auto found = families.find(name);
      if (found == families.end()) {
        found = families.emplace(name, &build().Name(name).Register(registry)).first;
      }
      if (auto* family = std::get_if<prometheus::Family<T>*>(&found->second)) {
        return (*family)->Add(sorted, extra...);
      }
      BUG(fmt::format("metric {} is used with two types", name));
    } catch (const std::exception& error) {
      BUG(fmt::format("metric {} is refused: {}", name, error.what()));
    }
    std::lock_guard lock(mutex);
    const auto type = AnyFamily(static_cast<prometheus::Family<T>*>(nullptr)).index();
    return build().Name(fmt::format("discarded_{}", type)).Register(discarded).Add({}, extra...);
  }
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return Counter(&impl_->child<prometheus::Counter>(
      name, labels, [&] { return prometheus::BuildCounter().Help(help); }));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(&impl_->child<prometheus::Gauge>(
      name, labels, [&] { return prometheus::BuildGauge().Help(help); }));
}

Histogram Metrics::histogram(const std::string& name, const std::string& help, const Labels& labels,
                             const std::vector<double>& buckets) {
  return Histogram(&impl_->child<prometheus::Histogram>(
      name, labels, [&] { return prometheus::BuildHistogram().Help(help); }, buckets));
}

void Metrics::on_collect(std::function<void()> refresh) {
  std::lock_guard lock(impl_->mutex);
  impl_->refreshers.push_back(std::move(refresh));
}

std::string Metrics::expose() const {
  std::vector<std::function<void()>> refreshers;
  {
    std::lock_guard lock(impl_->mutex);
    refreshers = impl_->refreshers;
  }
  for (const auto& refresh : refreshers) refresh();
  auto families = impl_->registry.Collect();
  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  return prometheus::TextSerializer().Serialize(families);
}

const std::vector<double>& latency_buckets() {
  static const std::vector<double> buckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
  return buckets;
}

}  // namespace corral::telemetry

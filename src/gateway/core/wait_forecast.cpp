#include "gateway/core/wait_forecast.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace corral::gateway {
namespace {

constexpr double kOverduePartOfAge = 1.0 / 8;
constexpr double kLongestForecast = 24.0 * 3600;
constexpr int kHalvings = 12;

}  // namespace

RunningWork::Number RunningWork::begin(const Work& work, Time now) {
  if (free_.empty()) {
    items_.emplace_back();
    free_.push_back(static_cast<Number>(items_.size()));
  }
  const Number number = free_.back();
  free_.pop_back();
  items_[number - 1] = {work, now, true};
  ++count_;
  return number;
}

RunningWork::Item RunningWork::end(Number number) {
  Item item = std::exchange(items_[number - 1], {});
  free_.push_back(number);
  --count_;
  return item;
}

bool RunningWork::append_left(const WorkEstimate& estimate, Time now,
                              std::vector<double>& left) const {
  bool all_known = true;
  left.reserve(left.size() + count_);
  for (const auto& item : items_) {
    if (!item.running) continue;
    const auto expected = estimate.predict(item.work);
    if (!expected) {
      all_known = false;
      continue;
    }
    const double age = std::max(std::chrono::duration<double>(now - item.begun).count(), 0.0);
    const double ahead = std::chrono::duration<double>(*expected).count() - age;
    left.push_back(std::max(ahead, age * kOverduePartOfAge));
  }
  return all_known;
}

WaitForecast::WaitForecast(std::vector<double> left, Time now)
    : left_(std::move(left)), places_(left_.size()), at_(now) {
  std::ranges::sort(left_);
  if (places_ <= kMostPlaces) return;
  for (std::size_t i = 0; i < kMostPlaces; ++i) {
    left_[i] = left_[(2 * i + 1) * places_ / (2 * kMostPlaces)];
  }
  left_.resize(kMostPlaces);
}

// When the one with this number (0: the first) begins, if each takes so long: the time by which so
// many have begun. At a place that becomes free at f, one begins at f, f + each, f + 2 each, ...
double WaitForecast::start_of(double number, double each) const {
  if (each <= 0) return left_.front();
  auto begun_by = [&](double time) {
    double sum = 0;
    for (const double free : left_) {
      if (free > time) break;
      sum += std::floor((time - free) / each) + 1;
    }
    return sum;
  };
  // Places that are free all the time would begin it by then at the latest.
  const auto places = static_cast<double>(left_.size());
  double early = left_.front();
  double late = left_.front() + each * (number + 1);
  late = std::min(late, left_.back() + each * (number / places + 1));
  if (begun_by(early) > number) return early;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (early + late) / 2;
    (begun_by(middle) > number ? late : early) = middle;
  }
  return late;
}

std::optional<WaitForecast::Wait> WaitForecast::wait(std::size_t before, double work,
                                                     Time now) const {
  if (!known()) return std::nullopt;
  if (before > 0 && work <= 0) return std::nullopt;
  // A sample of the places serves a sample of those who wait.
  const double scale = static_cast<double>(left_.size()) / static_cast<double>(places_);
  const double each = before == 0 ? 0 : work / static_cast<double>(before);
  const double number = std::floor(static_cast<double>(before) * scale);
  double seconds = before == 0 ? left_.front() : start_of(number, each);
  seconds -= std::chrono::duration<double>(now - at_).count();
  return Wait(std::llround(std::clamp(seconds, 0.0, kLongestForecast) * 1000));
}

}  // namespace corral::gateway

#include "store/core/redis_pipeline.hpp"

#include <algorithm>

namespace corral::store {
namespace {

constexpr std::size_t kTidy = 64u << 10;  // fewer sent bytes are not worth moving the rest
constexpr unsigned kMostDoublings = 16;

}  // namespace

RedisPipeline::RedisPipeline(Limits limits) : limits_(limits), parser_(limits.largest_reply) {}

Result<RedisPipeline::Ticket> RedisPipeline::ask(std::span<const std::string_view> words,
                                                 Time now) {
  std::size_t size = to_send().size();
  for (auto word : words) size += word.size();
  if (asked_.size() >= limits_.waiting || size > limits_.unsent_bytes) {
    return fail(ErrorCode::unavailable, "too much is under way to Redis");
  }
  append_command(out_, words);
  asked_.push_back({++last_, now});
  return last_;
}

void RedisPipeline::sent(std::size_t bytes) {
  sent_ += std::min(bytes, out_.size() - sent_);
  if (sent_ == out_.size()) {
    out_.clear();
    if (out_.capacity() > kTidy) out_.shrink_to_fit();
    sent_ = 0;
  } else if (sent_ >= kTidy && sent_ > out_.size() / 2) {
    out_.erase(0, sent_);
    sent_ = 0;
  }
}

Result<std::vector<RedisPipeline::Answer>> RedisPipeline::feed(std::string_view bytes) {
  CORRAL_CHECK(parser_.feed(bytes));
  std::vector<Answer> answers;
  for (;;) {
    CORRAL_TRY(auto reply, parser_.next());
    if (!reply) return answers;
    if (asked_.empty()) return fail(ErrorCode::upstream, "Redis answers what nobody asked");
    answers.push_back({asked_.front().ticket, std::move(*reply)});
    asked_.pop_front();
  }
}

std::optional<RedisPipeline::Time> RedisPipeline::overdue_at() const {
  if (asked_.empty()) return std::nullopt;
  return asked_.front().at + limits_.patience;
}

ReconnectPause::Duration ReconnectPause::failed(double random) {
  auto whole = std::min(most_, least_ * (1 << std::min(failures_, kMostDoublings)));
  ++failures_;
  auto half = std::chrono::duration<double, std::milli>(whole) / 2;
  return std::chrono::duration_cast<Duration>(half + half * random);
}

}  // namespace corral::store

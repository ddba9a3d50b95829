#include "gateway/prepare.hpp"

#include <fmt/core.h>

#include "base/text.hpp"

namespace corral::gateway {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMostHeld = 64 * 1024;

milliseconds left_until(SteadyClock::time_point when) {
  return std::max(std::chrono::ceil<milliseconds>(when - SteadyClock::now()), milliseconds(1));
}

net::Task<Result<void>> collect(Dispatched& result, PrepareLimits limits) {
  auto& answer = *result.answer;
  for (;;) {
    auto patience = left_until(answer.first_token_at() ? limits.whole : limits.first_token);
    if (answer.first_token_at()) patience = std::min(patience, limits.between_tokens);
    answer.set_patience(patience);
    CORRAL_CO_TRY(auto event, co_await answer.next_event());
    if (!event) break;
    result.events.push_back(std::move(*event));
  }
  result.whole = true;
  co_return Result<void>();
}

Error no_first_token() {
  return fail(ErrorCode::timeout, "the first token did not come in time (first_token_timeout)");
}

}  // namespace

Error too_late(milliseconds total) {
  return fail(ErrorCode::timeout,
              fmt::format("the answer was not complete within {}, the time for a whole answer "
                          "(total_timeout)",
                          format_duration(total)))
      .hint("ask for fewer tokens, or raise total_timeout");
}

void Dispatched::clear() {
  answer.reset();  // it goes on using the place until it is gone
  *this = Dispatched();
}

net::Task<Result<void>> prepare(Dispatched& result, const inference::Request& request,
                                PrepareLimits limits) {
  auto& answer = *result.answer;
  if (!answer.relayable()) co_return co_await collect(result, limits);
  bool stream = request.stream && request.operation != inference::Operation::embedding;
  for (;;) {
    answer.set_patience(stream ? left_until(limits.first_token)
                               : std::min(left_until(limits.whole), limits.between_tokens));
    auto piece = co_await answer.next_bytes();
    if (!piece) {
      bool late = stream && piece.error().code == ErrorCode::timeout;
      co_return std::unexpected(late ? no_first_token() : std::move(piece).error());
    }
    result.first = *piece;
    result.whole = piece->empty() || !stream;
    // Who wants to see progress waits for no token.
    bool begun = answer.first_token_at().has_value() || request.wants_progress;
    if (result.whole || begun || result.held.size() + piece->size() > kMostHeld) break;
    result.held.append(*piece);
    result.first = {};
  }
  co_return Result<void>();
}

}  // namespace corral::gateway

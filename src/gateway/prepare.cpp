#include "gateway/prepare.hpp"

namespace corral::gateway {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t kMostHeld = 64 * 1024;

Error too_late() {
  return fail(ErrorCode::timeout, "the answer was not complete in the time for it")
      .hint("ask for fewer tokens, or raise gateway.total_timeout");
}

net::Task<Result<void>> collect(Dispatched& result, Time deadline) {
  for (;;) {
    CORRAL_CO_TRY(auto event, co_await result.answer->next_event());
    if (!event) break;
    if (std::chrono::steady_clock::now() > deadline) co_return std::unexpected(too_late());
    result.events.push_back(std::move(*event));
  }
  result.whole = true;
  co_return Result<void>();
}

}  // namespace

net::Task<Result<void>> prepare(Dispatched& result, const inference::Request& request,
                                Time deadline) {
  auto& answer = *result.answer;
  if (!answer.relayable()) co_return co_await collect(result, deadline);
  bool stream = request.stream && request.operation != inference::Operation::embedding;
  for (;;) {
    CORRAL_CO_TRY(auto piece, co_await answer.next_bytes());
    result.first = piece;
    result.whole = piece.empty() || !stream;
    // Who wants to see progress waits for no token.
    bool begun = answer.first_token_at().has_value() || request.wants_progress;
    if (result.whole || begun || result.held.size() + piece.size() > kMostHeld) break;
    result.held.append(piece);
    result.first = {};
  }
  co_return Result<void>();
}

}  // namespace corral::gateway

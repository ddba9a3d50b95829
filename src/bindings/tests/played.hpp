// What the tests of answers and bindings share: a response that is played by hand, and what came of
// an answer.
#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "bindings/openai/answer.hpp"
#include "net/tests/test_support.hpp"

namespace corral::bindings::openai {

using namespace inference;

// Gives out its pieces one read each; then the end, or the error.
class PlayedResponse final : public net::ClientResponse {
 public:
  explicit PlayedResponse(std::vector<std::string> pieces, std::optional<Error> error = {})
      : pieces_(std::move(pieces)), error_(std::move(error)) {}

  int status() const override { return 200; }
  const net::Headers& headers() const override { return headers_; }
  void set_between_bytes(std::chrono::milliseconds limit) override { patience = limit; }
  net::Task<Result<std::string_view>> read_some() override {
    current_.assign(current_.size(), '#');  // what was given before is no longer valid
    if (at_ < pieces_.size()) {
      current_ = pieces_[at_++];
      co_return std::string_view(current_);
    }
    if (error_) co_return std::unexpected(*error_);
    co_return std::string_view{};
  }
  net::Task<Result<std::string>> read_all(std::uint64_t limit) override {
    if (error_) co_return std::unexpected(*error_);
    std::string all;
    for (const auto& piece : pieces_) all += piece;
    if (all.size() > limit) co_return std::unexpected(fail(ErrorCode::too_large, "too large"));
    co_return all;
  }

  std::chrono::milliseconds patience{0};  // as set last

 private:
  std::vector<std::string> pieces_;
  std::optional<Error> error_;
  std::size_t at_ = 0;
  std::string current_;
  net::Headers headers_;
};

// All that an answer gave, and how it ended.
struct Relayed {
  std::vector<std::string> pieces;
  std::optional<Error> error;
  std::string all() const {
    std::string out;
    for (const auto& piece : pieces) out += piece;
    return out;
  }
};

inline net::Task<Relayed> relay(Answer& answer) {
  Relayed result;
  for (;;) {
    auto piece = co_await answer.next_bytes();
    if (!piece) {
      result.error = piece.error();
      co_return result;
    }
    if (piece->empty()) co_return result;
    result.pieces.emplace_back(*piece);
  }
}

struct Decoded {
  std::vector<Event> events;
  std::optional<Error> error;
};

inline net::Task<Decoded> decode(Answer& answer) {
  Decoded result;
  for (;;) {
    auto event = co_await answer.next_event();
    if (!event) {
      result.error = event.error();
      co_return result;
    }
    if (!*event) co_return result;
    result.events.push_back(std::move(**event));
  }
}

inline std::string token(std::string_view text) {
  return R"(data: {"id":"c","created":5,"choices":[{"index":0,"delta":{"content":)" +
         json::quoted(text) + "}}]}\n\n";
}
inline const std::string kRole =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n";
inline const std::string kProgress =
    "data: {\"choices\":[],\"prompt_progress\":{\"total\":9,\"processed\":3}}\n\n";
inline const std::string kFinish =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
inline const std::string kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":42}}\n\n";
inline const std::string kDone = "data: [DONE]\n\n";

}  // namespace corral::bindings::openai

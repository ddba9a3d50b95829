#include "engines/rpc_memory.hpp"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "engines/rpc_servers.hpp"
#include "net/dial.hpp"
#include "net/stream.hpp"

namespace corral::engines {
namespace {

constexpr char kRpcHello = 14;
constexpr char kRpcDeviceMemory = 11;
constexpr std::size_t kRpcAbilities = 24;  // bytes, in which we have none
constexpr std::uint64_t kMostHello = 256;
constexpr std::size_t kNumber = 8;
constexpr std::chrono::milliseconds kRpcStep{20};

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

std::uint64_t number_at(std::string_view text, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = kNumber; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(text[at + i]);
  }
  return value;
}

Error no_rpc_answer() {
  return fail(ErrorCode::upstream, "it does not answer like an rpc-server of the engine's version");
}

}  // namespace

std::string rpc_memory_question() {
  const std::string abilities(kRpcAbilities, '\0');
  return kRpcHello + little_endian(abilities.size(), kNumber) + abilities + kRpcDeviceMemory +
         little_endian(4, kNumber) + little_endian(0, 4);
}

Result<std::optional<RpcMemory>> parse_rpc_memory(std::string_view answer) {
  if (answer.size() < kNumber) return std::nullopt;
  const auto hello = number_at(answer, 0);
  if (hello == 0 || hello > kMostHello) return std::unexpected(no_rpc_answer());
  const std::size_t memory_at = kNumber + hello;
  if (answer.size() < memory_at + kNumber) return std::nullopt;
  if (number_at(answer, memory_at) != 2 * kNumber) return std::unexpected(no_rpc_answer());
  if (answer.size() < memory_at + 3 * kNumber) return std::nullopt;
  return RpcMemory{number_at(answer, memory_at + kNumber),
                   number_at(answer, memory_at + 2 * kNumber)};
}

net::Task<Result<RpcMemory>> ask_rpc_memory(std::string server,
                                            std::chrono::milliseconds patience) {
  CORRAL_CO_TRY(auto target, parse_rpc_server(server));
  net::Dialer dialer;
  CORRAL_CO_TRY(auto stream, co_await dialer.dial(std::move(target), patience));
  std::string question = rpc_memory_question();
  std::array<iovec, 1> parts{{{question.data(), question.size()}}};
  CORRAL_CO_CHECK(co_await net::write_all(*stream, parts));
  std::string answer;
  std::array<char, 512> buffer{};
  for (auto waited = std::chrono::milliseconds(0); waited < patience; waited += kRpcStep) {
    const auto got = stream->try_read(buffer);
    if (got.status == net::IoStatus::ok) {
      answer.append(buffer.data(), got.bytes);
      CORRAL_CO_TRY(auto memory, parse_rpc_memory(answer));
      if (memory) co_return *memory;
      continue;
    }
    if (got.status != net::IoStatus::would_block) co_return std::unexpected(no_rpc_answer());
    CORRAL_CO_CHECK(co_await net::sleep_for(kRpcStep));
  }
  co_return fail(ErrorCode::timeout,
                 fmt::format("the rpc-server {} does not say what memory it has", server));
}

}  // namespace corral::engines

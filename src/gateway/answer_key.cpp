#include "gateway/answer_key.hpp"

#include <sodium.h>

#include <cstring>

#include "base/bug.hpp"

namespace corral::gateway {
namespace {

void add(crypto_generichash_state& state, const void* data, std::size_t size) {
  ::crypto_generichash_update(&state, static_cast<const unsigned char*>(data), size);
}

}  // namespace

AnswerKey answer_key(std::initializer_list<std::string_view> parts) {
  static const bool ready = ::sodium_init() >= 0;
  if (!ready) BUG("libsodium does not start");
  crypto_generichash_state state;
  AnswerKey key;
  ::crypto_generichash_init(&state, nullptr, 0, key.size());
  for (std::string_view part : parts) {
    std::uint64_t size = part.size();
    add(state, &size, sizeof size);
    add(state, part.data(), part.size());
  }
  ::crypto_generichash_final(&state, key.data(), key.size());
  return key;
}

std::string_view text_of(const AnswerKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

}  // namespace corral::gateway

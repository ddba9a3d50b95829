// The key of an answer: a cryptographic hash of all that decides about it. A collision would give
// one client's answer to another, so a hash that somebody could steer will not do.
//
// Thread rule: pure functions.
#pragma once

#include <initializer_list>
#include <string_view>

#include "gateway/core/answer_cache.hpp"

namespace corral::gateway {

// BLAKE2b-256 (RFC 7693) over the parts, each with its length before it: moving bytes from one part
// to the next gives another key.
AnswerKey answer_key(std::initializer_list<std::string_view> parts);

// The parts as bytes, to be one part of a further key.
std::string_view text_of(const AnswerKey& key);

}  // namespace corral::gateway

// Content codings: gzip (RFC 1952), br (RFC 7932), zstd (RFC 8878).
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::net {

enum class Coding { identity, gzip, brotli, zstd };
std::string_view to_string(Coding coding);  // the token in Content-Encoding

// The best we offer that `accept_encoding` (RFC 9110 section 12.5.3, with q-values) allows;
// preferred in the order br, zstd, gzip at equal q. identity when nothing else is accepted.
Coding negotiate(std::string_view accept_encoding);

// Fast levels: meant for answers made on the spot.
Result<std::string> compress(Coding coding, std::string_view data);
// Refuses results over `limit` bytes (bombs) with too_large.
Result<std::string> decompress(Coding coding, std::string_view data, std::size_t limit);

}  // namespace corral::net

// Inside `sys`, Linux only: reading at a place until all is there or the file ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>

namespace corral::sys {

// The bytes read, fewer only at the end of the file; or the system's error number.
std::expected<std::size_t, int> read_at(int fd, std::uint64_t offset, char* out,
                                        std::size_t length);

}  // namespace corral::sys

// Unpredictable bytes from the operating system (getrandom).
#pragma once

#include <span>
#include <string>

namespace corral::sys {

void fill_random(std::span<unsigned char> out);
std::string random_hex(std::size_t bytes);  // two characters a byte

}  // namespace corral::sys

// Feeds arbitrary bytes to the reader of an rpc-server's answer. An answer that comes in two pieces
// is read as one that comes whole.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engines/rpc_memory.hpp"

namespace engines = corral::engines;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto whole = engines::parse_rpc_memory(text);
  if (!whole && whole.error().message.empty()) std::abort();
  auto begun = engines::parse_rpc_memory(text.substr(0, data[size - 1] % size));
  if (!begun && whole) std::abort();  // what was refused early cannot become good
  if (begun && *begun && !(whole && *whole == *begun)) std::abort();
  return 0;
}

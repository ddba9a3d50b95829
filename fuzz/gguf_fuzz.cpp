// The GGUF reader on arbitrary bytes. The last eight bytes are taken as extra length that the file
// claims to have, so that also the paths of huge files are reached.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "models/gguf.hpp"

namespace {

class FuzzFile final : public corral::sys::ReadableFile {
 public:
  FuzzFile(const char* bytes, std::size_t length, std::uint64_t size)
      : bytes_(bytes), length_(length), size_(size) {}

  std::uint64_t size() const override { return size_; }
  corral::Result<std::size_t> read_at(std::uint64_t offset, char* out,
                                      std::size_t length) const override {
    if (offset >= length_) return 0;
    const std::size_t count = std::min<std::uint64_t>(length, length_ - offset);
    std::memcpy(out, bytes_ + offset, count);
    return count;
  }

 private:
  const char* bytes_;
  std::size_t length_;
  std::uint64_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const char* bytes = reinterpret_cast<const char*>(data);
  std::uint64_t extra = 0;
  if (size >= 8) std::memcpy(&extra, bytes + size - 8, 8);
  for (const std::uint64_t length : {std::uint64_t{size}, size + (extra >> 1)}) {
    const FuzzFile file(bytes, size, length);
    const auto model = corral::models::read_gguf(file, corral::models::KeepTensors::yes);
    // What was accepted lies within the file.
    if (model && model->tensor_bytes > length) __builtin_trap();
  }
  const std::string name(bytes, std::min<std::size_t>(size, 200));
  if (const auto split = corral::models::parse_split_name(name)) {
    if (split->number < 1 || split->number > split->count) __builtin_trap();
  }
  return 0;
}

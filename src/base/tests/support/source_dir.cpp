#include "base/tests/support/source_dir.hpp"

namespace corral::test {

std::string source_file(std::string_view relative) {
  return std::string(CORRAL_SOURCE_DIR "/").append(relative);
}

}  // namespace corral::test

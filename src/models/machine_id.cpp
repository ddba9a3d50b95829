#include "models/machine_id.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "sys/random.hpp"

namespace corral::models {
namespace {

constexpr std::size_t kBytes = 16;
constexpr std::size_t kLongest = 100;

bool is_machine_id(std::string_view text) {
  return text.size() == 2 * kBytes && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

Result<std::string> machine_id(sys::Files& files, const sys::Path& data_folder) {
  const sys::Path path = data_folder / kMachineFile;
  auto text = files.read(path, kLongest);
  if (text) {
    std::string id(trim(*text));
    if (is_machine_id(id)) return id;
  } else if (text.error().code == ErrorCode::not_found) {
    std::string id = sys::random_hex(kBytes);
    CORRAL_CHECK(files.write_atomic(path, id + "\n", 0600));
    return id;
  } else if (text.error().code != ErrorCode::too_large) {
    return std::unexpected(std::move(text).error());
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("{} holds something else than the machine's id", path.string()))
      .hint(
          "put back what was there; or remove it, and `corral verify` makes the models that were "
          "fetched known anew");
}

}  // namespace corral::models

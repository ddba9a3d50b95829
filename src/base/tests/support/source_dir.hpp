// Where the sources of the running tests lie.
#pragma once

#include <string>
#include <string_view>

namespace corral::test {

/** The absolute path of a file of the checkout, which is given relative to it. */
std::string source_file(std::string_view relative);

}  // namespace corral::test

// The name by which this machine's files are known in a database that several machines share: made
// once and kept in the data folder, where the files are.
//
// Thread rule: a plain function; it blocks. Example:
//   CORRAL_TRY(std::string machine, machine_id(files, data_folder));
#pragma once

#include <string>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::models {

inline constexpr const char* kMachineFile = "machine-id";  // in the data folder

// Reads it, or makes it where there is none. invalid_argument: the file holds something else.
Result<std::string> machine_id(sys::Files& files, const sys::Path& data_folder);

}  // namespace corral::models

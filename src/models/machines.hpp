// The machines that share the database, and when each was here last.
//
// What is known of files is kept by machine (machine_id.hpp). A machine that is gone for good would
// leave that behind for ever; so each notes now and then that it is here, and what is kept of one
// that was not here for long is collected by the others. Should it come back, its files are as good
// as copied there: `corral verify` makes them known again.
//
// Thread rule: thread-safe; calls block. Lifecycle: the database and the clock outlive it.
// Example:
//   Machines machines(*database, clock, machine);
//   CORRAL_CHECK(machines.note());
//   CORRAL_TRY(auto gone, machines.collect(std::chrono::days(30)));
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::models {

class Machines {
 public:
  static constexpr int kCollectedAtOnce = 500;  // blobs of a machine; the rest with the next time

  Machines(store::Database& database, const sys::Clock& clock, std::string machine)
      : database_(database), clock_(clock), machine_(std::move(machine)) {}

  // This machine is here. Those that never noted anything count from when they are first seen.
  Result<void> note();
  // Forgets what is kept of machines that were not here for so long, never of this one. Says how
  // many are gone.
  Result<std::size_t> collect(std::chrono::milliseconds away);

 private:
  Result<bool> forget(const std::string& machine, std::int64_t before);
  // With the machine's row locked, so that it does not come back meanwhile. False: it did.
  template <class Work>
  Result<bool> while_away(const std::string& machine, std::int64_t before, Work work);

  store::Database& database_;
  const sys::Clock& clock_;
  std::string machine_;
};

// The statements that look at many rows, so that tests can look at the plans of these very texts.
inline constexpr std::string_view kAwayMachines =
    "select machine from machines where seen_ms < $1 and machine <> $2 order by seen_ms limit 20";
inline constexpr std::string_view kBlobsOfMachine =
    "select digest from catalog_places where machine = $1 order by digest limit $2";
inline constexpr std::string_view kForgetFilesOfMachine =
    "delete from indexed_files where machine = $1";

}  // namespace corral::models

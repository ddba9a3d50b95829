#include "models/machines.hpp"

#include "models/catalog_change.hpp"
#include "store/rows.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::Rows;

Result<void> Machines::note() {
  const std::int64_t now = store::to_milliseconds(clock_.wall());
  CORRAL_CHECK(
      database_.run("insert into machines (machine, seen_ms) values ($1, $2) "
                    "on conflict (machine) do update set seen_ms = excluded.seen_ms",
                    {machine_, now}));
  // '' is nobody: what was known before files were known by machine.
  CORRAL_CHECK(
      database_.run("insert into machines (machine, seen_ms) "
                    "select machine, cast($1 as {int}) from (select machine from catalog_places "
                    "union select machine from indexed_files) known where machine <> '' "
                    "on conflict (machine) do nothing",
                    {now}));
  return {};
}

Result<std::size_t> Machines::collect(std::chrono::milliseconds away) {
  const std::int64_t before = store::to_milliseconds(clock_.wall() - away);
  CORRAL_TRY(Rows rows, database_.run(kAwayMachines, {before, machine_}));
  std::size_t gone = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CORRAL_TRY(std::string machine, rows[i].text(0));
    CORRAL_TRY(bool forgotten, forget(machine, before));
    gone += forgotten ? 1 : 0;
  }
  return gone;
}

template <class Work>
Result<bool> Machines::while_away(const std::string& machine, std::int64_t before, Work work) {
  return database_.transact([&](Connection& connection) -> Result<bool> {
    CORRAL_TRY(Rows away, connection.run("select machine from machines where machine = $1 and "
                                         "seen_ms < $2 {for_update}",
                                         {machine, before}));
    if (away.empty()) return false;
    CORRAL_CHECK(work(connection));
    return true;
  });
}

// A blob at a time, as all who change blobs do, so that nobody waits long or in a circle.
Result<bool> Machines::forget(const std::string& machine, std::int64_t before) {
  CORRAL_TRY(Rows rows, database_.run(kBlobsOfMachine, {machine, kCollectedAtOnce}));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CORRAL_TRY(std::string digest, rows[i].text(0));
    auto one = [&](Connection& connection) -> Result<void> {
      CORRAL_CHECK(connection.run("select digest from catalog_blobs where digest = $1 {for_update}",
                                  {digest}));
      CORRAL_CHECK(connection.run("delete from catalog_places where digest = $1 and machine = $2",
                                  {digest, machine}));
      return forget_blob(connection, digest);
    };
    CORRAL_TRY(bool still_away, while_away(machine, before, one));
    if (!still_away) return false;
  }
  if (rows.size() == static_cast<std::size_t>(kCollectedAtOnce)) return false;  // there is more
  auto rest = [&](Connection& connection) -> Result<void> {
    CORRAL_CHECK(connection.run(kForgetFilesOfMachine, {machine}));
    CORRAL_CHECK(connection.run("delete from machines where machine = $1", {machine}));
    return {};
  };
  return while_away(machine, before, rest);
}

}  // namespace corral::models

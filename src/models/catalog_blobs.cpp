// The catalog's blobs on this machine: what checks found, and removing those that nothing uses.
#include "models/catalog.hpp"
#include "models/catalog_change.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::RowReader;
using store::Rows;

namespace {

constexpr int kCollectedAtOnce = 200;

// Locked until the transaction ends. False: it is not known.
Result<bool> lock_blob(Connection& connection, const std::string& digest) {
  CORRAL_TRY(
      Rows rows,
      connection.run("select digest from catalog_blobs where digest = $1 {for_update}", {digest}));
  return !rows.empty();
}

// One that lies here, and that nothing knows of: it counts as unused from now on.
Result<void> note_lying(Connection& connection, const std::string& machine,
                        const std::string& digest, std::int64_t now) {
  CORRAL_CHECK(
      connection.run("insert into catalog_blobs (digest, bytes, added_ms) values ($1, 0, $2) "
                     "on conflict (digest) do nothing",
                     {digest, now}));
  CORRAL_CHECK(connection.run(
      "insert into catalog_places (digest, machine, bytes, modified_ns, inode, unused_ms) "
      "values ($1, $2, 0, 0, 0, $3) on conflict (digest, machine) do nothing",
      {digest, machine, now}));
  return {};
}

}  // namespace

Result<CollectResult> Catalog::collect(std::chrono::milliseconds grace) {
  std::lock_guard one(changing_);
  CollectResult result;
  std::int64_t now = store::to_milliseconds(parts_.clock.wall());
  CORRAL_TRY(auto lying, parts_.blobs.list());
  for (const std::string& digest : lying) {
    CORRAL_TRY(Rows known, parts_.database.run(kKnownBlob, {digest, parts_.machine}));
    if (!known.empty()) continue;
    CORRAL_CHECK(parts_.database.transact([&](Connection& connection) {
      return note_lying(connection, parts_.machine, digest, now);
    }));
  }
  CORRAL_TRY(Rows rows, parts_.database.run(
                            kUnusedBlobs, {parts_.machine, now - grace.count(), kCollectedAtOnce}));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CORRAL_TRY(std::string digest, rows[i].text(0));
    if (parts_.blobs.in_use(digest)) continue;
    auto info = parts_.files.stat(parts_.blobs.path_of(digest));
    // The row first, and the file before that is final: a put that waits for the row finds neither.
    auto work = [&](Connection& connection) -> Result<bool> {
      CORRAL_TRY(bool locked, lock_blob(connection, digest));
      if (!locked) return false;
      CORRAL_TRY(Rows gone, connection.run("delete from catalog_places where digest = $1 and "
                                           "(machine = $2 or machine = '') and "
                                           "unused_ms is not null and not exists "
                                           "(select 1 from catalog_files where digest = $1)",
                                           {digest, parts_.machine}));
      if (gone.changed() == 0) return false;
      CORRAL_CHECK(forget_blob(connection, digest));
      CORRAL_CHECK(parts_.blobs.remove(digest));
      return true;
    };
    auto removed = parts_.database.transact(work);
    if (!removed) {
      result.problems.push_back(digest + ": " + removed.error().describe());
    } else if (*removed) {
      ++result.removed;
      if (info) result.bytes += info->size;
    }
  }
  return result;
}

Result<void> Catalog::record_check(const BlobCheck& check) {
  std::int64_t now = store::to_milliseconds(parts_.clock.wall());
  bool sound = check.problem.empty();
  // Of a damaged one the old identity stays, so that the next good file is known as another.
  constexpr std::string_view kSound =
      "insert into catalog_places (digest, machine, checked_ms, bytes, modified_ns, inode) "
      "values ($1, $2, $3, $4, $5, $6) on conflict (digest, machine) do update set "
      "checked_ms = excluded.checked_ms, problem = null, bytes = excluded.bytes, "
      "modified_ns = excluded.modified_ns, inode = excluded.inode";
  constexpr std::string_view kDamaged =
      "insert into catalog_places (digest, machine, checked_ms, problem, bytes, modified_ns, "
      "inode) "
      "values ($1, $2, $3, $4, 0, 0, 0) on conflict (digest, machine) do update set "
      "checked_ms = excluded.checked_ms, problem = excluded.problem";
  CORRAL_CHECK(parts_.database.transact([&](Connection& connection) -> Result<void> {
    CORRAL_TRY(bool locked, lock_blob(connection, check.digest));
    CORRAL_TRY(Rows known, connection.run(kKnownBlob, {check.digest, parts_.machine}));
    if (!locked || known.empty())
      return fail(ErrorCode::not_found, "that blob is not in the catalog any more");
    if (!sound) {
      CORRAL_CHECK(connection.run(kDamaged, {check.digest, parts_.machine, now, check.problem}));
      return {};
    }
    CORRAL_CHECK(connection.run(
        kSound,
        {check.digest, parts_.machine, now, static_cast<std::int64_t>(check.blob.bytes),
         to_nanoseconds(check.blob.modified), static_cast<std::int64_t>(check.blob.inode)}));
    return {};
  }));
  parts_.blobs.set_damaged(check.digest, !sound);
  return {};
}

// What is known of files from before they were known by machine is this one's where the very file
// is here.
Result<void> Catalog::claim_files() {
  std::lock_guard one(changing_);
  std::string after;
  for (;;) {
    CORRAL_TRY(Rows rows, parts_.database.run(kUnclaimedBlobs, {after, kLongestPage}));
    std::vector<std::string> mine;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      RowReader read(rows[i]);
      after = read.text();
      const BlobIdentity known = read_identity(read);
      CORRAL_CHECK(read.done());
      auto here = parts_.files.stat(parts_.blobs.path_of(after));
      if (here && blob_identity(*here) == known) mine.push_back(after);
    }
    CORRAL_CHECK(parts_.database.transact([&](Connection& connection) -> Result<void> {
      for (const std::string& digest : mine) {
        CORRAL_CHECK(connection.run(
            "update catalog_places set machine = $1 where digest = $2 and machine = '' and "
            "not exists (select 1 from catalog_places where digest = $2 and machine = $1)",
            {parts_.machine, digest}));
      }
      return {};
    }));
    if (rows.size() < static_cast<std::size_t>(kLongestPage)) return {};
  }
}

Result<void> Catalog::tell_damaged() {
  std::string after;
  for (;;) {
    CORRAL_TRY(Rows rows,
               parts_.database.run(kDamagedBlobs, {parts_.machine, after, kLongestPage}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CORRAL_TRY(after, rows[i].text(0));
      parts_.blobs.set_damaged(after, true);
    }
    if (rows.size() < static_cast<std::size_t>(kLongestPage)) return {};
  }
}

Result<std::optional<std::string>> Catalog::blob_problem(const std::string& digest) {
  CORRAL_TRY(Rows rows,
             parts_.database.run("select problem from catalog_places where digest = $1 and "
                                 "machine = $2",
                                 {digest, parts_.machine}));
  if (rows.empty()) return std::optional<std::string>();
  RowReader read(rows[0]);
  auto problem = read.optional_text();
  CORRAL_CHECK(read.done());
  return problem;
}

}  // namespace corral::models

// The models that were fetched, in the database: names, the versions that each had, their files.
//
// A file's bytes are a blob, named by its SHA-256 and kept once however many names use it. A name
// has numbered versions, of which one is the present one; putting other content under a name makes
// the next version, and the former ones stay for `rollback` (the last kKeptVersions of them). What
// no name uses any more is removed by `collect` after a grace period.
//
// Names differ in more than case, and a trailing ":latest" says nothing: "Qwen:latest" is "qwen".
// Each blob is known by the size, time and inode that its file had when it was taken in, so that a
// change to it is noticed without reading it; by machine, since several may share the database.
//
// Thread rule: thread-safe; calls block. Lifecycle: the parts outlive it; set `on_change` before
// use. Example:
//   Catalog catalog({*database, clock, *files, blobs});
//   CORRAL_TRY(auto model, catalog.put({.name = "llama3.2:3b", .files = {...}, .author = "cli"}));
//   CORRAL_TRY(auto page, catalog.list({.after = "llama3.2:3b", .limit = 50}));
//   CORRAL_TRY(auto former, catalog.rollback("llama3.2:3b", std::nullopt));
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "models/blob_files.hpp"
#include "models/catalog_types.hpp"
#include "models/gguf.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace corral::models {

// Tells a file from one that was put in its place or written to. The device is left out: its number
// may be another after a restart of the machine.
struct BlobIdentity {
  std::uint64_t bytes = 0;
  sys::Wall modified;
  std::uint64_t inode = 0;

  bool is_known() const { return bytes != 0 || inode != 0; }  // as taken in, or checked
  bool operator==(const BlobIdentity&) const = default;
};
BlobIdentity blob_identity(const sys::FileInfo& file);

struct StoredFile {
  CatalogFile file;
  BlobIdentity blob;    // as it was when it was taken in or checked last, on this machine
  std::string problem;  // why the blob is not to be used; empty: none known
};

struct CatalogModel {
  std::string name;
  std::int64_t version = 0;  // the present one
  std::string origin;        // as ModelVersion says
  std::string revision;
  std::string license;
  std::string author;  // of this version
  sys::Wall added;     // this version
  sys::Wall changed;   // the name, last
  std::uint64_t bytes = 0;
  std::vector<StoredFile> files;
  std::shared_ptr<const GgufMetadata> metadata;  // null: it must be read from the file
};

struct CatalogVersion {
  std::int64_t version = 0;
  bool present = false;
  std::string origin;
  std::string revision;
  std::string author;
  sys::Wall added;
  std::uint64_t bytes = 0;
};

struct CatalogQuery {
  std::string after;   // a name; empty: from the first
  std::string search;  // part of the name, in any case
  int limit = 100;     // 1 to Catalog::kLongestPage
};

struct CollectResult {
  std::size_t removed = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> problems;  // blobs that could not be removed, and why
};

// What a full check of a blob found.
struct BlobCheck {
  std::string digest;
  BlobIdentity blob;
  std::string problem;  // empty: its bytes are what its name says
};

struct CatalogParts {
  store::Database& database;
  const sys::Clock& clock;
  sys::Files& files;
  BlobFiles& blobs;
  std::string machine;  // see machine_id.hpp
};

class Catalog {
 public:
  static constexpr int kKeptVersions = 3;           // of a name, the present one included
  static constexpr int kLongestPage = 1000;         // models
  static constexpr std::size_t kLongestName = 200;  // bytes
  static constexpr std::size_t kMostFiles = 1'000;  // of one version
  static constexpr std::chrono::hours kGrace{1};    // between the last use of a blob and its end

  explicit Catalog(CatalogParts parts) : parts_(std::move(parts)) {}

  // Called after every change that models may be listed differently by, on the thread that made it.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

  // Makes a version of a name, the name too if it is new, and makes it the present one. The blobs
  // must be there, of the sizes given, and the weights a GGUF model. Content that is the present
  // one already makes no new version. invalid_argument: name, digest or files are not what they
  // should be. io: a blob is missing or damaged.
  Result<CatalogModel> put(const ModelVersion& version);

  // By name.
  Result<std::vector<CatalogModel>> list(const CatalogQuery& query);
  Result<CatalogModel> show(std::string_view name);                     // or not_found
  Result<std::vector<CatalogVersion>> versions(std::string_view name);  // newest first

  // All versions; the blobs go with `collect`.
  Result<void> remove(std::string_view name);
  // One that is not the present one (conflict).
  Result<void> remove_version(std::string_view name, std::int64_t version);

  // A new name with the same present version. conflict: the name is taken.
  Result<CatalogModel> copy(std::string_view from, const std::string& to,
                            const std::string& author);
  // The same for any version, and a name that is there already is led to it as its next version.
  Result<CatalogModel> tag(std::string_view from, std::optional<std::int64_t> version,
                           const std::string& to, const std::string& author);
  // Makes another version the present one; not given: the one before the present one.
  Result<CatalogModel> rollback(std::string_view name, std::optional<std::int64_t> version);

  // Removes blobs that no version has used for `grace`; those that came without one count from when
  // they are first seen here.
  Result<CollectResult> collect(std::chrono::milliseconds grace);

  // Keeps what a check found: with a problem, its models are not to be used until it is mended. Not
  // told by `on_change`, since a check of everything would tell of each file.
  Result<void> record_check(const BlobCheck& check);
  // Takes over what an earlier program knew of the files here. Once, at the start, before the next.
  Result<void> claim_files();
  // Tells the blobs which of them earlier checks found damaged. Once, at the start.
  Result<void> tell_damaged();
  // Why a blob is not to be used; nothing: it is sound, or not known here.
  Result<std::optional<std::string>> blob_problem(const std::string& digest);

 private:
  void tell() const;

  CatalogParts parts_;
  std::function<void()> changed_;
  std::mutex changing_;  // one change at a time in this process
};

// "Qwen2:latest" -> "qwen2": two names are one if these are.
std::string fold_model_name(std::string_view name);

// invalid_argument: empty, too long, with control characters, or with a part that is empty, "." or
// "..".
Result<void> check_model_name(std::string_view name);

// The statements that read many rows, so that tests can look at the plans of these very texts.
inline constexpr std::string_view kListCatalog =
    "select m.name, m.version, v.origin, v.revision, v.license, v.author, v.added_ms, "
    "m.changed_ms, c.bytes, c.metadata, c.id from catalog_models m "
    "join catalog_versions v on v.name = m.name and v.version = m.version "
    "join catalog_contents c on c.id = v.content "
    "where m.name > $1 and m.folded like $2 escape '\\' order by m.name limit $3";
inline constexpr std::string_view kListCatalogFiles =
    "select v.content, f.place, f.role, f.name, f.digest, f.bytes, coalesce(b.bytes, 0), "
    "coalesce(b.modified_ns, 0), coalesce(b.inode, 0), b.problem from catalog_models m "
    "join catalog_versions v on v.name = m.name and v.version = m.version "
    "join catalog_files f on f.content = v.content "
    "left join catalog_places b on b.digest = f.digest and b.machine = $3 "
    "where m.name > $1 and m.name <= $2";
inline constexpr std::string_view kListCatalogVersions =
    "select v.version, m.version, v.origin, v.revision, v.author, v.added_ms, c.bytes "
    "from catalog_versions v join catalog_models m on m.name = v.name "
    "join catalog_contents c on c.id = v.content where v.name = $1 order by v.version desc "
    "limit $2";
inline constexpr std::string_view kUnusedBlobs =
    "select digest from catalog_places where machine = $1 and unused_ms <= $2 "
    "order by unused_ms, digest limit $3";
inline constexpr std::string_view kDamagedBlobs =
    "select digest from catalog_places where machine = $1 and problem is not null and digest > $2 "
    "order by digest limit $3";
inline constexpr std::string_view kUnclaimedBlobs =
    "select digest, bytes, modified_ns, inode from catalog_places where machine = '' and "
    "digest > $1 order by digest limit $2";
// A row when the blob is used, or known to lie on this machine.
inline constexpr std::string_view kKnownBlob =
    "select 1 from catalog_blobs b where b.digest = $1 and ("
    "exists (select 1 from catalog_places where digest = $1 and machine = $2) or "
    "exists (select 1 from catalog_files where digest = $1))";

}  // namespace corral::models

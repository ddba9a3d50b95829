// Documents (JSON objects) that people manage while the server runs, by kind and name: endpoints,
// routes. Every change makes a new version and stays in the history with its author and time.
//
// Two people who edit the same document do not overwrite each other: a change names the version it
// was made from, and is refused with `conflict` when that is no longer the present one. Versions of
// a name go on counting after a removal, so an old number never fits a new document.
//
// Bodies are stored as given. A secret inside is sealed by its owner before (store/sealer.hpp).
//
// Thread rule: thread-safe; calls block.
// Lifecycle: the database, migrated, and the clock outlive it.
// Example:
//   Resources resources(*database, clock);
//   CORRAL_TRY(auto saved, resources.put({.kind = "endpoint", .name = "gpu-1", .body = json,
//                                         .expected_version = 0, .author = "maria"}));
//   CORRAL_TRY(auto page, resources.list("endpoint", "", 100));
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "store/database.hpp"
#include "sys/clock.hpp"

namespace corral::store {

struct Resource {
  std::string kind;
  std::string name;
  std::int64_t version = 0;  // 1, 2, 3, ... within the name
  std::string body;          // a JSON object
  std::string author;        // of this version
  sys::Wall changed;         // when this version was made
};

struct ResourceVersion {
  std::int64_t version = 0;
  std::optional<std::string> body;  // none: removed
  std::string author;
  sys::Wall changed;
};

struct ResourceChange {
  std::string kind;
  std::string name;
  std::string body;  // ignored by `remove`
  // The version that the change was made from; 0: there must be none; not given: any.
  std::optional<std::int64_t> expected_version;
  std::string author;
  // What `revision()` said when the change was checked against all other documents; not given: any.
  std::optional<std::int64_t> expected_revision;
};

class Resources {
 public:
  static constexpr std::size_t kLongestName = 200;      // bytes, of kind, name and author
  static constexpr std::size_t kLargestBody = 1 << 20;  // bytes
  static constexpr int kLongestList = 1000;             // rows
  static constexpr std::string_view kRevisionField = "revision";

  Resources(Database& database, const sys::Clock& clock) : database_(database), clock_(clock) {}

  // Ordered by the bytes of the name; the page after `after_name` ("" for the first), of 1 to
  // kLongestList documents.
  Result<std::vector<Resource>> list(const std::string& kind, const std::string& after_name,
                                     int limit);

  Result<Resource> get(const std::string& kind, const std::string& name);  // or not_found

  // Makes or replaces it. conflict: another version is there than the one expected, and the message
  // says which. invalid_argument: the body is no JSON object; kind, name or author is empty, longer
  // than kLongestName or has control characters. too_large: the body. conflict with the field
  // kRevisionField: any document changed since `expected_revision`; check yours again.
  Result<Resource> put(const ResourceChange& change);

  // Gives the version of the removal. not_found: there is none.
  Result<std::int64_t> remove(const ResourceChange& change);

  // Newest first, also of what was removed; not_found if there was never such a name.
  Result<std::vector<ResourceVersion>> history(const std::string& kind, const std::string& name,
                                               int limit);

  // Grows with every change of any document: equal means that nothing changed.
  Result<std::int64_t> revision();

 private:
  Database& database_;
  const sys::Clock& clock_;
};

// The statements that read many rows, so that tests can look at the plans of these very texts.
inline constexpr std::string_view kListResources =
    "select kind, name, version, body, author, changed_ms from resources "
    "where kind = $1 and name > $2 order by name limit $3";
inline constexpr std::string_view kListResourceHistory =
    "select version, body, author, changed_ms from resource_history "
    "where kind = $1 and name = $2 order by version desc limit $3";
inline constexpr std::string_view kNewestResourceVersion =
    "select max(version) from resource_history where kind = $1 and name = $2";

}  // namespace corral::store

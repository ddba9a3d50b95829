// The steps of changes to the catalog, inside one transaction each. Not for use outside this
// module.
//
// Thread rule: as the connection's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "models/catalog.hpp"
#include "store/connection.hpp"
#include "store/rows.hpp"

namespace corral::models {

// What a version says besides its files.
struct VersionFacts {
  std::int64_t content = 0;
  std::string origin;
  std::string revision;
  std::string license;
  std::string author;
};

struct NamedModel {
  std::string name;  // as it is spelled in the catalog
  std::int64_t version = 0;
};

// SHA-256 over roles, names and digests, in order: equal for equal content.
std::string content_fingerprint(const std::vector<CatalogFile>& files);

Error no_such_model(std::string_view name);

// Locked until the transaction ends; none when there is no such name.
Result<std::optional<NamedModel>> find_model(store::Connection& connection, std::string_view name);

// Some version's facts; not_found when there is none of that number.
Result<VersionFacts> facts_of(store::Connection& connection, const NamedModel& model,
                              std::int64_t version);

// The content's number; makes it with its files when there is none like it. The blobs are there.
Result<std::int64_t> keep_content(store::Connection& connection, const ModelVersion& version,
                                  const std::optional<std::string>& metadata);

// Makes `facts` the present version of `name`, which is made when there is none, and forgets the
// versions past those that are kept. False: it was the present content already.
Result<bool> set_version(store::Connection& connection, const std::string& name,
                         const VersionFacts& facts, std::int64_t now);

// Forgets contents that no version has any more; their blobs count as unused from now on.
Result<void> release_contents(store::Connection& connection,
                              const std::vector<std::int64_t>& contents, std::int64_t now);

// Forgets a blob that nothing uses and no machine has.
Result<void> forget_blob(store::Connection& connection, const std::string& digest);

// One row of kListCatalog, with the content's number.
struct ListedModel {
  CatalogModel model;
  std::int64_t content = 0;
};
Result<ListedModel> listed_model(store::Row row);

// One row of kListCatalogFiles.
struct ListedFile {
  std::int64_t content = 0;
  std::int64_t place = 0;
  StoredFile file;
};
Result<ListedFile> listed_file(store::Row row);

// The next columns are bytes, modified_ns and inode.
BlobIdentity read_identity(store::RowReader& read);

std::int64_t to_nanoseconds(sys::Wall time);
sys::Wall from_nanoseconds(std::int64_t nanoseconds);

}  // namespace corral::models

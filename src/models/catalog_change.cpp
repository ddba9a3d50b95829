#include "models/catalog_change.hpp"

#include <fmt/core.h>

#include "models/gguf_json.hpp"
#include "models/sha256.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::Row;
using store::RowReader;
using store::Rows;
using store::Value;

std::int64_t to_nanoseconds(sys::Wall time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

sys::Wall from_nanoseconds(std::int64_t nanoseconds) {
  return sys::Wall(
      std::chrono::duration_cast<sys::Wall::duration>(std::chrono::nanoseconds(nanoseconds)));
}

BlobIdentity read_identity(RowReader& read) {
  // In this order.
  return {.bytes = static_cast<std::uint64_t>(read.integer()),
          .modified = from_nanoseconds(read.integer()),
          .inode = static_cast<std::uint64_t>(read.integer())};
}

std::string content_fingerprint(const std::vector<CatalogFile>& files) {
  Sha256 hash;
  for (const CatalogFile& file : files) {
    hash.update(to_string(file.role));
    hash.update("\n");
    hash.update(file.name);
    hash.update("\n");
    hash.update(file.digest);
    hash.update("\n");
  }
  return hash.digest();
}

Error no_such_model(std::string_view name) {
  return fail(ErrorCode::not_found, fmt::format("there is no model '{}' in the catalog",
                                                name.substr(0, Catalog::kLongestName)))
      .hint("`corral list` shows the models; those of the models folder are not in the catalog")
      .field("model");
}

Result<std::optional<NamedModel>> find_model(Connection& connection, std::string_view name) {
  CORRAL_TRY(Rows rows, connection.run("select name, version from catalog_models where folded = $1 "
                                       "{for_update}",
                                       {fold_model_name(name)}));
  if (rows.empty()) return std::optional<NamedModel>();
  RowReader read(rows[0]);
  NamedModel model{.name = read.text(), .version = read.integer()};
  CORRAL_CHECK(read.done());
  return std::optional(std::move(model));
}

Result<VersionFacts> facts_of(Connection& connection, const NamedModel& model,
                              std::int64_t version) {
  CORRAL_TRY(Rows rows, connection.run("select content, origin, revision, license, author "
                                       "from catalog_versions where name = $1 and version = $2",
                                       {model.name, version}));
  if (rows.empty()) {
    return fail(ErrorCode::not_found, fmt::format("'{}' has no version {}", model.name, version))
        .hint("`corral show` lists the versions that are kept")
        .field("version");
  }
  RowReader read(rows[0]);
  VersionFacts facts{.content = read.integer(),
                     .origin = read.text(),
                     .revision = read.text(),
                     .license = read.text(),
                     .author = read.text()};
  CORRAL_CHECK(read.done());
  return facts;
}

Result<std::int64_t> keep_content(Connection& connection, const ModelVersion& version,
                                  const std::optional<std::string>& metadata) {
  std::string fingerprint = content_fingerprint(version.files);
  CORRAL_TRY(Rows there, connection.run("select id from catalog_contents where fingerprint = $1",
                                        {fingerprint}));
  if (!there.empty()) {
    CORRAL_TRY(std::int64_t id, there[0].integer(0));
    CORRAL_CHECK(connection.run("update catalog_contents set metadata = $1 where id = $2",
                                {Value(metadata), id}));
    return id;
  }
  std::int64_t bytes = 0;
  for (const CatalogFile& file : version.files) bytes += static_cast<std::int64_t>(file.bytes);
  CORRAL_TRY(Rows made, connection.run("insert into catalog_contents (fingerprint, bytes, metadata)"
                                       " values ($1, $2, $3) returning id",
                                       {fingerprint, bytes, Value(metadata)}));
  CORRAL_TRY(std::int64_t id, made.single_integer());
  for (std::size_t i = 0; i < version.files.size(); ++i) {
    const CatalogFile& file = version.files[i];
    CORRAL_CHECK(
        connection.run("insert into catalog_files (content, place, role, name, digest, bytes) "
                       "values ($1, $2, $3, $4, $5, $6)",
                       {id, static_cast<std::int64_t>(i), to_string(file.role), file.name,
                        file.digest, static_cast<std::int64_t>(file.bytes)}));
  }
  return id;
}

namespace {

// Forgets the oldest versions, never the present one.
Result<void> prune(Connection& connection, const std::string& name, std::int64_t present,
                   std::int64_t now) {
  CORRAL_TRY(Rows rows,
             connection.run("select version, content from catalog_versions "
                            "where name = $1 and version <> $2 order by version desc limit 1000",
                            {name, present}));
  std::vector<std::int64_t> contents;
  for (std::size_t i = Catalog::kKeptVersions - 1; i < rows.size(); ++i) {
    CORRAL_TRY(std::int64_t version, rows[i].integer(0));
    CORRAL_TRY(std::int64_t content, rows[i].integer(1));
    CORRAL_CHECK(connection.run("delete from catalog_versions where name = $1 and version = $2",
                                {name, version}));
    contents.push_back(content);
  }
  return release_contents(connection, contents, now);
}

Result<void> insert_version(Connection& connection, const std::string& name, std::int64_t version,
                            const VersionFacts& facts, std::int64_t now) {
  CORRAL_CHECK(connection.run(
      "insert into catalog_versions (name, version, content, origin, revision, license, author, "
      "added_ms) values ($1, $2, $3, $4, $5, $6, $7, $8)",
      {name, version, facts.content, facts.origin, facts.revision, facts.license, facts.author,
       now}));
  return {};
}

}  // namespace

Result<bool> set_version(Connection& connection, const std::string& name, const VersionFacts& facts,
                         std::int64_t now) {
  CORRAL_TRY(auto there, find_model(connection, name));
  if (!there) {
    CORRAL_CHECK(
        connection.run("insert into catalog_models (name, folded, version, changed_ms) "
                       "values ($1, $2, 1, $3)",
                       {name, fold_model_name(name), now}));
    CORRAL_CHECK(insert_version(connection, name, 1, facts, now));
    return true;
  }
  CORRAL_TRY(VersionFacts present, facts_of(connection, *there, there->version));
  if (present.content == facts.content) {
    CORRAL_CHECK(
        connection.run("update catalog_versions set origin = $1, revision = $2, "
                       "license = $3 where name = $4 and version = $5",
                       {facts.origin, facts.revision, facts.license, there->name, there->version}));
    return false;
  }
  CORRAL_TRY(
      Rows newest,
      connection.run("select max(version) from catalog_versions where name = $1", {there->name}));
  CORRAL_TRY(std::int64_t last, newest.single_integer());
  CORRAL_CHECK(insert_version(connection, there->name, last + 1, facts, now));
  CORRAL_CHECK(
      connection.run("update catalog_models set version = $1, changed_ms = $2 where name = $3",
                     {last + 1, now, there->name}));
  CORRAL_CHECK(prune(connection, there->name, last + 1, now));
  return true;
}

Result<void> release_contents(Connection& connection, const std::vector<std::int64_t>& contents,
                              std::int64_t now) {
  for (std::int64_t content : contents) {
    CORRAL_TRY(Rows digests,
               connection.run("select digest from catalog_files where content = $1", {content}));
    CORRAL_CHECK(
        connection.run("delete from catalog_contents where id = $1 and not exists "
                       "(select 1 from catalog_versions where content = $1)",
                       {content}));
    for (std::size_t i = 0; i < digests.size(); ++i) {
      CORRAL_TRY(std::string digest, digests[i].text(0));
      CORRAL_CHECK(
          connection.run("update catalog_places set unused_ms = $1 where digest = $2 and "
                         "not exists (select 1 from catalog_files where digest = $2)",
                         {now, digest}));
      CORRAL_CHECK(forget_blob(connection, digest));
    }
  }
  return {};
}

Result<void> forget_blob(Connection& connection, const std::string& digest) {
  CORRAL_CHECK(
      connection.run("delete from catalog_blobs where digest = $1 and "
                     "not exists (select 1 from catalog_files where digest = $1) and "
                     "not exists (select 1 from catalog_places where digest = $1)",
                     {digest}));
  return {};
}

Result<ListedModel> listed_model(Row row) {
  RowReader read(row);
  ListedModel listed;
  CatalogModel& model = listed.model;
  model.name = read.text();
  model.version = read.integer();
  model.origin = read.text();
  model.revision = read.text();
  model.license = read.text();
  model.author = read.text();
  model.added = read.time();
  model.changed = read.time();
  model.bytes = static_cast<std::uint64_t>(read.integer());
  auto metadata = read.optional_text();
  listed.content = read.integer();
  CORRAL_CHECK(read.done());
  if (metadata) model.metadata = metadata_from_json(*metadata);
  return listed;
}

Result<ListedFile> listed_file(Row row) {
  RowReader read(row);
  ListedFile listed;
  listed.content = read.integer();
  listed.place = read.integer();
  std::string role = read.text();
  StoredFile& stored = listed.file;
  stored.file.name = read.text();
  stored.file.digest = read.text();
  stored.file.bytes = static_cast<std::uint64_t>(read.integer());
  stored.blob.bytes = static_cast<std::uint64_t>(read.integer());
  stored.blob.modified = from_nanoseconds(read.integer());
  stored.blob.inode = static_cast<std::uint64_t>(read.integer());
  stored.problem = read.optional_text().value_or("");
  CORRAL_CHECK(read.done());
  auto known = parse_file_role(role);
  if (!known) {
    return fail(ErrorCode::conflict, fmt::format("the catalog holds a file of the role '{}', which "
                                                 "this program does not know",
                                                 role))
        .hint("a newer program wrote it: use that one");
  }
  stored.file.role = *known;
  return listed;
}

}  // namespace corral::models

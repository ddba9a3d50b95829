#include "models/catalog.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "models/catalog_change.hpp"
#include "models/gguf_json.hpp"
#include "models/model_list.hpp"
#include "models/sha256.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::RowReader;
using store::Rows;
using store::Value;

namespace {

constexpr int kMostVersions = 1000;

Error invalid(std::string message, std::string field) {
  return fail(ErrorCode::invalid_argument, std::move(message)).field(std::move(field));
}

bool is_plain(std::string_view text) {
  return is_utf8(text) && std::ranges::none_of(text, [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

Result<void> check_words(const ModelVersion& version) {
  for (const std::string* text : {&version.origin, &version.revision, &version.license}) {
    if (!is_plain(*text) || text->size() > 4096)
      return invalid("origin, revision or license is not a plain line of text", "origin");
  }
  if (version.author.empty() || version.author.size() > Catalog::kLongestName ||
      !is_plain(version.author))
    return invalid("the author is empty, too long or not a plain line of text", "author");
  return {};
}

Result<void> check_files(const std::vector<CatalogFile>& files) {
  if (files.size() > Catalog::kMostFiles)
    return invalid(fmt::format("a model has at most {} files", Catalog::kMostFiles), "files");
  bool weights = false;
  for (const CatalogFile& file : files) {
    weights = weights || file.role == FileRole::weights;
    if (!is_digest(file.digest))
      return invalid("a file's digest must be 'sha256:' and 64 lower-case hexadecimal digits",
                     "files");
    if (file.name.empty() || file.name.size() > 1024 || !is_plain(file.name))
      return invalid("a file's name is empty, too long or not a plain line of text", "files");
    if (file.bytes > static_cast<std::uint64_t>(INT64_MAX))
      return invalid("a file is larger than any disk", "files");
  }
  if (!weights) return invalid("a model needs a file of weights", "files");
  return {};
}

Error damaged_blob(const CatalogFile& file, const std::string& what) {
  return fail(ErrorCode::io, fmt::format("the file {} {}", file.name, what))
      .hint("pull the model again")
      .field("files");
}

// A part of a name as LIKE wants it.
std::string like_pattern(std::string_view search) {
  std::string out = "%";
  for (char c : to_lower(search)) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out + '%';
}

struct Inspected {
  std::map<std::string, BlobIdentity> blobs;  // by digest
  std::optional<std::string> metadata;
};

Result<Inspected> inspect(CatalogParts& parts, const ModelVersion& version) {
  Inspected found;
  std::vector<sys::Path> weights;
  for (const CatalogFile& file : version.files) {
    sys::Path path = parts.blobs.path_of(file.digest);
    auto info = parts.files.stat(path);
    if (!info) return damaged_blob(file, "is not here");
    if (info->size != file.bytes)
      return damaged_blob(file, fmt::format("has {} bytes instead of {}", info->size, file.bytes));
    found.blobs.insert_or_assign(file.digest, blob_identity(*info));
    if (file.role == FileRole::weights) weights.push_back(std::move(path));
  }
  CORRAL_TRY(GgufMetadata metadata, read_gguf_set(parts.files, weights));
  found.metadata = to_json(metadata);
  return found;
}

// Blobs that are known and have another file now are read whole: they must be what they were.
Result<void> check_replaced(CatalogParts& parts, const std::map<std::string, BlobIdentity>& blobs) {
  for (const auto& [digest, identity] : blobs) {
    // What was known before files were known by machine counts, too.
    CORRAL_TRY(Rows rows, parts.database.run("select bytes, modified_ns, inode, problem from "
                                             "catalog_places where digest = $1 and "
                                             "(machine = $2 or machine = '') "
                                             "order by machine desc limit 1",
                                             {digest, parts.machine}));
    if (rows.empty()) continue;
    RowReader read(rows[0]);
    const BlobIdentity known = read_identity(read);
    auto problem = read.optional_text();
    CORRAL_CHECK(read.done());
    // One that was only seen lying there was written by whoever brings it now.
    if (!known.is_known()) continue;
    if (known == identity && !problem) continue;
    CORRAL_TRY(std::string now, hash_file(parts.files, parts.blobs.path_of(digest)));
    if (now != digest) {
      parts.blobs.set_damaged(digest, true);
      return fail(ErrorCode::io, fmt::format("the file of {} holds other bytes", digest))
          .hint("pull the model again")
          .field("files");
    }
  }
  return {};
}

Result<void> take_blobs(Connection& connection, const std::string& machine,
                        const std::map<std::string, BlobIdentity>& blobs, std::int64_t now) {
  for (const auto& [digest, identity] : blobs) {
    const auto bytes = static_cast<std::int64_t>(identity.bytes);
    // The blob's row is locked before any of its places, here and wherever both are changed.
    CORRAL_CHECK(
        connection.run("insert into catalog_blobs (digest, bytes, added_ms) values ($1, $2, $3) "
                       "on conflict (digest) do update set bytes = excluded.bytes",
                       {digest, bytes, now}));
    CORRAL_CHECK(connection.run(
        "insert into catalog_places (digest, machine, bytes, modified_ns, inode) "
        "values ($1, $2, $3, $4, $5) on conflict (digest, machine) do update set "
        "bytes = excluded.bytes, modified_ns = excluded.modified_ns, inode = excluded.inode, "
        "problem = null",
        {digest, machine, bytes, to_nanoseconds(identity.modified),
         static_cast<std::int64_t>(identity.inode)}));
    CORRAL_CHECK(
        connection.run("update catalog_places set unused_ms = null where digest = $1 and "
                       "unused_ms is not null",
                       {digest}));
  }
  return {};
}

}  // namespace

BlobIdentity blob_identity(const sys::FileInfo& file) {
  return {.bytes = file.size, .modified = file.modified, .inode = file.inode};
}

std::string fold_model_name(std::string_view name) {
  std::string folded = to_lower(name);
  if (folded.ends_with(kLatest)) folded.resize(folded.size() - kLatest.size());
  return folded;
}

Result<void> check_model_name(std::string_view name) {
  if (name.empty()) return invalid("the name of the model is empty", "name");
  if (name.size() > Catalog::kLongestName)
    return invalid(fmt::format("the name is longer than {} bytes", Catalog::kLongestName), "name");
  if (!is_plain(name) || name.find('\\') != std::string_view::npos)
    return invalid("the name has characters that are not allowed", "name");
  if (fold_model_name(name).empty() || name.front() == '-' || name.front() == ' ' ||
      name.back() == ' ')
    return invalid(fmt::format("'{}' is no name for a model", name), "name");
  for (std::string_view part : split(name, '/')) {
    if (part.empty() || part == "." || part == "..")
      return invalid(fmt::format("'{}' is no name for a model: a part of it is empty or leads "
                                 "elsewhere",
                                 name),
                     "name");
  }
  return {};
}

void Catalog::tell() const {
  if (changed_) changed_();
}

Result<CatalogModel> Catalog::put(const ModelVersion& version) {
  CORRAL_CHECK(check_model_name(version.name));
  CORRAL_CHECK(check_words(version));
  CORRAL_CHECK(check_files(version.files));
  {
    std::lock_guard one(changing_);
    CORRAL_TRY(Inspected found, inspect(parts_, version));
    CORRAL_CHECK(check_replaced(parts_, found.blobs));
    std::int64_t now = store::to_milliseconds(parts_.clock.wall());
    auto work = [&](Connection& connection) -> Result<bool> {
      CORRAL_CHECK(take_blobs(connection, parts_.machine, found.blobs, now));
      VersionFacts facts{.origin = version.origin,
                         .revision = version.revision,
                         .license = version.license,
                         .author = version.author};
      CORRAL_TRY(facts.content, keep_content(connection, version, found.metadata));
      return set_version(connection, version.name, facts, now);
    };
    CORRAL_TRY(bool made, parts_.database.transact(work));
    (void)made;
    for (const auto& [digest, identity] : found.blobs) parts_.blobs.set_damaged(digest, false);
  }
  tell();
  return show(version.name);
}

Result<std::vector<CatalogModel>> Catalog::list(const CatalogQuery& query) {
  if (query.limit < 1 || query.limit > kLongestPage)
    return invalid(fmt::format("the limit must lie in 1 to {}", kLongestPage), "limit");
  if (!is_plain(query.search) || !is_plain(query.after))
    return invalid("that is no part of a model's name", "search");
  CORRAL_TRY(Rows rows, parts_.database.run(
                            kListCatalog, {query.after, like_pattern(query.search), query.limit}));
  std::vector<CatalogModel> models;
  models.reserve(rows.size());
  std::multimap<std::int64_t, std::size_t> users;  // of a content
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CORRAL_TRY(ListedModel listed, listed_model(rows[i]));
    users.emplace(listed.content, models.size());
    models.push_back(std::move(listed.model));
  }
  if (models.empty()) return models;
  CORRAL_TRY(Rows files, parts_.database.run(kListCatalogFiles,
                                             {query.after, models.back().name, parts_.machine}));
  std::map<std::pair<std::int64_t, std::int64_t>, StoredFile> in_order;
  for (std::size_t i = 0; i < files.size(); ++i) {
    CORRAL_TRY(ListedFile listed, listed_file(files[i]));
    in_order.insert_or_assign({listed.content, listed.place}, std::move(listed.file));
  }
  for (const auto& [key, file] : in_order) {
    auto [from, to] = users.equal_range(key.first);
    for (; from != to; ++from) models[from->second].files.push_back(file);
  }
  return models;
}

Result<CatalogModel> Catalog::show(std::string_view name) {
  CORRAL_TRY(Rows rows, parts_.database.run("select name from catalog_models where folded = $1",
                                            {fold_model_name(name)}));
  if (rows.empty()) return no_such_model(name);
  CORRAL_TRY(std::string spelled, rows[0].text(0));
  constexpr std::string_view kOne =
      "select m.name, m.version, v.origin, v.revision, v.license, v.author, v.added_ms, "
      "m.changed_ms, c.bytes, c.metadata, c.id from catalog_models m "
      "join catalog_versions v on v.name = m.name and v.version = m.version "
      "join catalog_contents c on c.id = v.content where m.name = $1";
  CORRAL_TRY(Rows model, parts_.database.run(kOne, {spelled}));
  if (model.empty()) return no_such_model(name);
  CORRAL_TRY(ListedModel listed, listed_model(model[0]));
  CORRAL_TRY(
      Rows files,
      parts_.database.run(
          "select f.content, f.place, f.role, f.name, f.digest, f.bytes, coalesce(b.bytes, 0), "
          "coalesce(b.modified_ns, 0), coalesce(b.inode, 0), b.problem from catalog_files f "
          "left join catalog_places b on b.digest = f.digest and b.machine = $2 "
          "where f.content = $1 order by f.place",
          {listed.content, parts_.machine}));
  for (std::size_t i = 0; i < files.size(); ++i) {
    CORRAL_TRY(ListedFile file, listed_file(files[i]));
    listed.model.files.push_back(std::move(file.file));
  }
  return std::move(listed.model);
}

Result<std::vector<CatalogVersion>> Catalog::versions(std::string_view name) {
  CORRAL_TRY(Rows known, parts_.database.run("select name from catalog_models where folded = $1",
                                             {fold_model_name(name)}));
  if (known.empty()) return no_such_model(name);
  CORRAL_TRY(std::string spelled, known[0].text(0));
  CORRAL_TRY(Rows rows, parts_.database.run(kListCatalogVersions, {spelled, kMostVersions}));
  std::vector<CatalogVersion> versions;
  versions.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    CatalogVersion version;
    version.version = read.integer();
    version.present = read.integer() == version.version;
    version.origin = read.text();
    version.revision = read.text();
    version.author = read.text();
    version.added = read.time();
    version.bytes = static_cast<std::uint64_t>(read.integer());
    CORRAL_CHECK(read.done());
    versions.push_back(std::move(version));
  }
  return versions;
}

Result<void> Catalog::remove(std::string_view name) {
  {
    std::lock_guard one(changing_);
    std::int64_t now = store::to_milliseconds(parts_.clock.wall());
    CORRAL_CHECK(parts_.database.transact([&](Connection& connection) -> Result<void> {
      CORRAL_TRY(auto model, find_model(connection, name));
      if (!model) return no_such_model(name);
      CORRAL_TRY(Rows rows, connection.run("select content from catalog_versions where name = $1",
                                           {model->name}));
      std::set<std::int64_t> contents;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        CORRAL_TRY(std::int64_t content, rows[i].integer(0));
        contents.insert(content);
      }
      CORRAL_CHECK(connection.run("delete from catalog_models where name = $1", {model->name}));
      return release_contents(connection, {contents.begin(), contents.end()}, now);
    }));
  }
  tell();
  return {};
}

Result<void> Catalog::remove_version(std::string_view name, std::int64_t version) {
  std::lock_guard one(changing_);
  std::int64_t now = store::to_milliseconds(parts_.clock.wall());
  return parts_.database.transact([&](Connection& connection) -> Result<void> {
    CORRAL_TRY(auto model, find_model(connection, name));
    if (!model) return no_such_model(name);
    CORRAL_TRY(VersionFacts facts, facts_of(connection, *model, version));
    if (version == model->version) {
      return fail(ErrorCode::conflict,
                  fmt::format("version {} of '{}' is the present one", version, model->name))
          .hint("roll back to another version first, or remove the model")
          .field("version");
    }
    CORRAL_CHECK(connection.run("delete from catalog_versions where name = $1 and version = $2",
                                {model->name, version}));
    return release_contents(connection, {facts.content}, now);
  });
}

Result<CatalogModel> Catalog::copy(std::string_view from, const std::string& to,
                                   const std::string& author) {
  CORRAL_TRY(Rows taken, parts_.database.run("select name from catalog_models where folded = $1",
                                             {fold_model_name(to)}));
  if (!taken.empty()) {
    CORRAL_TRY(CatalogModel source, show(from));  // a wrong source is the first thing to say
    CORRAL_TRY(std::string there, taken[0].text(0));
    return fail(ErrorCode::conflict, fmt::format("there is a model '{}' already", there))
        .hint("`corral tag` leads a name that is there to another version")
        .field("name");
  }
  return tag(from, std::nullopt, to, author);
}

Result<CatalogModel> Catalog::tag(std::string_view from, std::optional<std::int64_t> version,
                                  const std::string& to, const std::string& author) {
  CORRAL_CHECK(check_model_name(to));
  if (author.empty() || author.size() > kLongestName || !is_plain(author))
    return invalid("the author is empty, too long or not a plain line of text", "author");
  {
    std::lock_guard one(changing_);
    std::int64_t now = store::to_milliseconds(parts_.clock.wall());
    auto work = [&](Connection& connection) -> Result<bool> {
      CORRAL_TRY(auto model, find_model(connection, from));
      if (!model) return no_such_model(from);
      CORRAL_TRY(VersionFacts facts,
                 facts_of(connection, *model, version.value_or(model->version)));
      facts.author = author;
      return set_version(connection, to, facts, now);
    };
    CORRAL_TRY(bool made, parts_.database.transact(work));
    (void)made;
  }
  tell();
  return show(to);
}

Result<CatalogModel> Catalog::rollback(std::string_view name, std::optional<std::int64_t> version) {
  {
    std::lock_guard one(changing_);
    std::int64_t now = store::to_milliseconds(parts_.clock.wall());
    CORRAL_CHECK(parts_.database.transact([&](Connection& connection) -> Result<void> {
      CORRAL_TRY(auto model, find_model(connection, name));
      if (!model) return no_such_model(name);
      std::int64_t wanted = version.value_or(0);
      if (!version) {
        CORRAL_TRY(Rows rows, connection.run("select max(version) from catalog_versions "
                                             "where name = $1 and version < $2",
                                             {model->name, model->version}));
        if (rows[0][0].is_null()) {
          return fail(ErrorCode::conflict,
                      fmt::format("'{}' has no version before {}", model->name, model->version))
              .hint("`corral show` lists the versions that are kept")
              .field("version");
        }
        CORRAL_TRY(wanted, rows[0].integer(0));
      }
      CORRAL_CHECK(facts_of(connection, *model, wanted));
      CORRAL_CHECK(
          connection.run("update catalog_models set version = $1, changed_ms = $2 where name = $3",
                         {wanted, now, model->name}));
      return {};
    }));
  }
  tell();
  return show(name);
}

}  // namespace corral::models

#include "models/file_index.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <span>

#include "models/catalog_change.hpp"
#include "models/gguf_json.hpp"
#include "store/rows.hpp"
#include "store/value.hpp"

namespace corral::models {

using store::Connection;
using store::RowReader;
using store::Rows;
using store::Value;

namespace {

constexpr int kPage = 1000;
constexpr std::size_t kModelsATransaction = 500;

std::int64_t wrapped(std::uint64_t value) { return static_cast<std::int64_t>(value); }

Result<void> save_model(Connection& connection, const std::string& machine,
                        const IndexedModel& model) {
  const std::string first = model.files.front().path.string();
  CORRAL_CHECK(
      connection.run("delete from indexed_files where machine = $2 and model = $1 and path <> $1",
                     {first, machine}));
  for (const FileIdentity& file : model.files) {
    std::string path = file.path.string();
    Value metadata = path == first && model.metadata ? Value(to_json(*model.metadata)) : Value();
    // What a check found holds for the same bytes alone.
    CORRAL_CHECK(connection.run(
        "insert into indexed_files (path, model, size, modified_ns, inode, device, metadata, "
        "machine) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (machine, path) do update "
        "set "
        "digest = case when indexed_files.size = excluded.size "
        "and indexed_files.modified_ns = excluded.modified_ns "
        "and indexed_files.inode = excluded.inode then indexed_files.digest else null end, "
        "problem = case when indexed_files.size = excluded.size "
        "and indexed_files.modified_ns = excluded.modified_ns "
        "and indexed_files.inode = excluded.inode then indexed_files.problem else null end, "
        "model = excluded.model, size = excluded.size, modified_ns = excluded.modified_ns, "
        "inode = excluded.inode, device = excluded.device, metadata = excluded.metadata",
        {path, first, wrapped(file.size), to_nanoseconds(file.modified), wrapped(file.inode),
         wrapped(file.device), metadata, machine}));
  }
  return {};
}

}  // namespace

Result<std::vector<IndexedModel>> FileIndex::load() {
  // From before files were known by machine: whether it is this one's, the files themselves tell.
  CORRAL_CHECK(database_.run(
      "update indexed_files set machine = $1 where machine = '' and not exists "
      "(select 1 from indexed_files o where o.machine = $1 and o.path = indexed_files.path)",
      {machine_}));
  std::map<std::string, IndexedModel> models;  // by first file
  std::string after;
  for (;;) {
    CORRAL_TRY(Rows rows, database_.run(kListIndexedFiles, {machine_, after, kPage}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      RowReader read(rows[i]);
      FileIdentity file;
      after = read.text();
      file.path = after;
      IndexedModel& model = models[read.text()];
      file.size = static_cast<std::uint64_t>(read.integer());
      file.modified = from_nanoseconds(read.integer());
      file.inode = static_cast<std::uint64_t>(read.integer());
      file.device = static_cast<std::uint64_t>(read.integer());
      auto metadata = read.optional_text();
      CORRAL_CHECK(read.done());
      if (metadata) model.metadata = metadata_from_json(*metadata);
      model.files.push_back(std::move(file));
    }
    if (rows.size() < static_cast<std::size_t>(kPage)) break;
  }
  std::vector<IndexedModel> known;
  known.reserve(models.size());
  for (auto& [first, model] : models) {
    if (model.metadata) known.push_back(std::move(model));
  }
  return known;
}

Result<void> FileIndex::save(const std::vector<IndexedModel>& read,
                             const std::vector<sys::Path>& gone) {
  std::span<const IndexedModel> left(read);
  while (!left.empty()) {
    auto some = left.first(std::min(left.size(), kModelsATransaction));
    left = left.subspan(some.size());
    CORRAL_CHECK(database_.transact([&](Connection& connection) -> Result<void> {
      for (const IndexedModel& model : some) CORRAL_CHECK(save_model(connection, machine_, model));
      return {};
    }));
  }
  if (gone.empty()) return {};
  return database_.transact([&](Connection& connection) -> Result<void> {
    for (const sys::Path& path : gone) {
      CORRAL_CHECK(connection.run("delete from indexed_files where machine = $1 and model = $2",
                                  {machine_, path.string()}));
    }
    return {};
  });
}

Result<FileCheck> FileIndex::record(const FileIdentity& file, const std::string& digest) {
  return database_.transact([&](Connection& connection) -> Result<FileCheck> {
    CORRAL_TRY(Rows rows,
               connection.run("select size, modified_ns, inode, digest from indexed_files "
                              "where machine = $1 and path = $2 {for_update}",
                              {machine_, file.path.string()}));
    if (rows.empty())
      return fail(ErrorCode::not_found,
                  fmt::format("{} is not in the index any more", file.path.string()));
    RowReader read(rows[0]);
    bool same = static_cast<std::uint64_t>(read.integer()) == file.size;
    same = from_nanoseconds(read.integer()) == file.modified && same;
    same = static_cast<std::uint64_t>(read.integer()) == file.inode && same;
    auto known = read.optional_text();
    CORRAL_CHECK(read.done());
    FileCheck check{
        .digest = same && known ? *known : digest, .problem = {}, .checked = clock_.wall()};
    if (check.digest != digest) {
      check.problem = fmt::format(
          "{} holds other bytes than at its first check, though nothing "
          "has written to it since",
          file.path.filename().string());
    }
    CORRAL_CHECK(connection.run(
        "update indexed_files set digest = $1, checked_ms = $2, problem = $3 "
        "where machine = $4 and path = $5",
        {check.digest, store::to_milliseconds(check.checked),
         check.problem.empty() ? Value() : Value(check.problem), machine_, file.path.string()}));
    return check;
  });
}

Result<std::map<std::string, std::string>> FileIndex::problems() {
  return texts_by_path(kDamagedFiles);
}

Result<std::map<std::string, std::string>> FileIndex::digests() {
  return texts_by_path(kKnownDigests);
}

Result<std::map<std::string, std::string>> FileIndex::texts_by_path(std::string_view statement) {
  std::map<std::string, std::string> found;
  std::string after;
  for (;;) {
    CORRAL_TRY(Rows rows, database_.run(statement, {machine_, after, kPage}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CORRAL_TRY(after, rows[i].text(0));
      CORRAL_TRY(std::string text, rows[i].text(1));
      found.insert_or_assign(after, std::move(text));
    }
    if (rows.size() < static_cast<std::size_t>(kPage)) break;
  }
  return found;
}

}  // namespace corral::models

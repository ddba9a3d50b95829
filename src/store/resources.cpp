#include "store/resources.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "base/json.hpp"
#include "base/text.hpp"

namespace corral::store {
namespace {

Error invalid(std::string message, std::string_view field) {
  return fail(ErrorCode::invalid_argument, std::move(message)).field(std::string(field));
}

Result<void> check_word(std::string_view text, std::string_view what) {
  if (text.empty()) return invalid(fmt::format("the {} is empty", what), what);
  if (text.size() > Resources::kLongestName)
    return invalid(fmt::format("the {} is longer than {} bytes", what, Resources::kLongestName),
                   what);
  bool plain = std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!plain || !is_utf8(text))
    return invalid(fmt::format("the {} has characters that are not allowed", what), what);
  return {};
}

Result<void> check_limit(int limit) {
  if (limit < 1 || limit > Resources::kLongestList)
    return invalid(fmt::format("the limit must lie in 1 to {}", Resources::kLongestList), "limit");
  return {};
}

Result<void> check_body(const std::string& body) {
  if (body.size() > Resources::kLargestBody)
    return fail(ErrorCode::too_large,
                fmt::format("the document is larger than {} bytes", Resources::kLargestBody))
        .field("body");
  CORRAL_TRY(auto value, json::parse(body));
  if (!value.is_object()) return invalid("the document is not a JSON object", "body");
  return {};
}

Error missing(std::string_view kind, std::string_view name) {
  return fail(ErrorCode::not_found, fmt::format("there is no {} '{}'", kind, name)).field("name");
}

Result<Resource> resource_of(Row row) {
  RowReader read(row);
  Resource resource{.kind = read.text(),
                    .name = read.text(),
                    .version = read.integer(),
                    .body = read.text(),
                    .author = read.text(),
                    .changed = read.time()};
  CORRAL_CHECK(read.done());
  return resource;
}

struct Versions {
  std::int64_t present = 0;  // 0: there is none now
  std::int64_t newest = 0;   // there ever was
};

// Counting first also makes every other writer wait, so what is read next stays true.
Result<Versions> lock_versions(Connection& connection, const ResourceChange& change) {
  CORRAL_TRY(Rows counted,
             connection.run("update resource_revision set revision = revision + 1 where id = 1 "
                            "returning revision"));
  CORRAL_TRY(std::int64_t revision, counted.single_integer());
  if (change.expected_revision && *change.expected_revision != revision - 1) {
    return fail(ErrorCode::conflict, "something else was changed at the same moment")
        .hint("try again")
        .field(std::string(Resources::kRevisionField));
  }
  Versions versions;
  CORRAL_TRY(Rows present,
             connection.run("select version from resources where kind = $1 and name = $2",
                            {change.kind, change.name}));
  if (!present.empty()) {
    CORRAL_TRY(versions.present, present[0].integer(0));
  }
  CORRAL_TRY(Rows newest, connection.run(kNewestResourceVersion, {change.kind, change.name}));
  if (!newest[0][0].is_null()) {
    CORRAL_TRY(versions.newest, newest[0].integer(0));
  }
  return versions;
}

Result<void> check_expected(const ResourceChange& change, std::int64_t present) {
  if (!change.expected_version || *change.expected_version == present) return {};
  std::string text;
  if (present == 0)
    text = fmt::format("there is no {} '{}' any more, version {} was expected", change.kind,
                       change.name, *change.expected_version);
  else if (*change.expected_version == 0)
    text = fmt::format("the {} '{}' is there already, at version {}", change.kind, change.name,
                       present);
  else
    text = fmt::format("the {} '{}' is at version {}, not {}", change.kind, change.name, present,
                       *change.expected_version);
  return fail(ErrorCode::conflict, std::move(text))
      .hint("somebody else changed it: read it again and repeat your change")
      .field("version");
}

Result<void> record(Connection& connection, const ResourceChange& change, std::int64_t version,
                    const Value& body, std::int64_t now) {
  CORRAL_CHECK(
      connection.run("insert into resource_history (kind, name, version, body, author, changed_ms) "
                     "values ($1, $2, $3, $4, $5, $6)",
                     {change.kind, change.name, version, body, change.author, now}));
  return {};
}

Result<void> check_words(const ResourceChange& change) {
  CORRAL_CHECK(check_word(change.kind, "kind"));
  CORRAL_CHECK(check_word(change.name, "name"));
  CORRAL_CHECK(check_word(change.author, "author"));
  if (change.expected_version && *change.expected_version < 0)
    return invalid("the expected version is negative", "version");
  return {};
}

}  // namespace

Result<std::vector<Resource>> Resources::list(const std::string& kind,
                                              const std::string& after_name, int limit) {
  CORRAL_CHECK(check_limit(limit));
  CORRAL_TRY(Rows rows, database_.run(kListResources, {kind, after_name, limit}));
  std::vector<Resource> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CORRAL_TRY(Resource resource, resource_of(rows[i]));
    found.push_back(std::move(resource));
  }
  return found;
}

Result<Resource> Resources::get(const std::string& kind, const std::string& name) {
  CORRAL_TRY(Rows rows,
             database_.run("select kind, name, version, body, author, changed_ms from resources "
                           "where kind = $1 and name = $2",
                           {kind, name}));
  if (rows.empty()) return missing(kind, name);
  return resource_of(rows[0]);
}

Result<Resource> Resources::put(const ResourceChange& change) {
  CORRAL_CHECK(check_words(change));
  CORRAL_CHECK(check_body(change.body));
  return database_.transact([&](Connection& connection) -> Result<Resource> {
    CORRAL_TRY(Versions versions, lock_versions(connection, change));
    CORRAL_CHECK(check_expected(change, versions.present));
    std::int64_t version = std::max(versions.present, versions.newest) + 1;
    std::int64_t now = to_milliseconds(clock_.wall());
    CORRAL_CHECK(connection.run(
        "insert into resources (kind, name, version, body, author, changed_ms) "
        "values ($1, $2, $3, $4, $5, $6) on conflict (kind, name) do update set "
        "version = excluded.version, body = excluded.body, author = excluded.author, "
        "changed_ms = excluded.changed_ms",
        {change.kind, change.name, version, change.body, change.author, now}));
    CORRAL_CHECK(record(connection, change, version, change.body, now));
    return Resource{.kind = change.kind,
                    .name = change.name,
                    .version = version,
                    .body = change.body,
                    .author = change.author,
                    .changed = from_milliseconds(now)};
  });
}

Result<std::int64_t> Resources::remove(const ResourceChange& change) {
  CORRAL_CHECK(check_words(change));
  return database_.transact([&](Connection& connection) -> Result<std::int64_t> {
    CORRAL_TRY(Versions versions, lock_versions(connection, change));
    if (versions.present == 0) return missing(change.kind, change.name);
    CORRAL_CHECK(check_expected(change, versions.present));
    std::int64_t version = std::max(versions.present, versions.newest) + 1;
    CORRAL_CHECK(connection.run("delete from resources where kind = $1 and name = $2",
                                {change.kind, change.name}));
    CORRAL_CHECK(record(connection, change, version, Value(), to_milliseconds(clock_.wall())));
    return version;
  });
}

Result<std::vector<ResourceVersion>> Resources::history(const std::string& kind,
                                                        const std::string& name, int limit) {
  CORRAL_CHECK(check_limit(limit));
  CORRAL_TRY(Rows rows, database_.run(kListResourceHistory, {kind, name, limit}));
  if (rows.empty()) return missing(kind, name);
  std::vector<ResourceVersion> found;
  found.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowReader read(rows[i]);
    ResourceVersion version{.version = read.integer(),
                            .body = read.optional_text(),
                            .author = read.text(),
                            .changed = read.time()};
    CORRAL_CHECK(read.done());
    found.push_back(std::move(version));
  }
  return found;
}

Result<std::int64_t> Resources::revision() {
  CORRAL_TRY(Rows rows, database_.run("select revision from resource_revision where id = 1"));
  return rows.single_integer();
}

}  // namespace corral::store

// The migrations of this program. Add at the end; never edit what was published.
#include <array>

#include "store/migrations.hpp"

namespace corral::store {
namespace {

// Versioned documents. The one row of resource_revision is changed by every writer first: it gives
// changes one order, and other processes one number to look at.
constexpr Migration kResources{
    .number = 1,
    .name = "resources",
    .up = R"(
      create table resources (
        kind {text} not null,
        name {text} not null,
        version {int} not null check (version > 0),
        body {text} not null,
        author {text} not null,
        changed_ms {int} not null,
        primary key (kind, name)
      ) {keyed};
      create table resource_revision (
        id {int} primary key check (id = 1),
        revision {int} not null
      ) {strict};
      insert into resource_revision (id, revision) values (1, 0);
    )",
    .down = R"(
      drop table resource_revision;
      drop table resources;
    )",
};

// Every version that there was; no body means that the document was removed. On the way up the
// present documents become the first entries; on the way down they stay, and the past is lost.
constexpr Migration kResourceHistory{
    .number = 2,
    .name = "resource history",
    .up = R"(
      create table resource_history (
        kind {text} not null,
        name {text} not null,
        version {int} not null check (version > 0),
        body {text},
        author {text} not null,
        changed_ms {int} not null,
        primary key (kind, name, version)
      ) {keyed};
      insert into resource_history (kind, name, version, body, author, changed_ms)
        select kind, name, version, body, author, changed_ms from resources;
    )",
    .down = R"(
      drop table resource_history;
    )",
};

constexpr std::array kMigrations = {kResources, kResourceHistory};

}  // namespace

std::span<const Migration> schema_migrations() { return kMigrations; }

}  // namespace corral::store

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

// Models that were fetched: a name has numbered versions, a version is some content, a content is
// files in order, and a file's bytes are a blob that several contents may share. Then what is known
// of the files of the models folder, so that a start reads none that is unchanged; and what people
// did with models: use by day, and measurements.
constexpr Migration kModelCatalog{
    .number = 3,
    .name = "model catalog",
    .up = R"(
      create table catalog_blobs (
        digest {text} primary key,
        bytes {int} not null check (bytes >= 0),
        modified_ns {int} not null,
        inode {int} not null,
        added_ms {int} not null,
        unused_ms {int},
        checked_ms {int},
        problem {text}
      ) {keyed};
      create index catalog_blobs_unused on catalog_blobs (unused_ms, digest);
      create index catalog_blobs_problem on catalog_blobs (digest) where problem is not null;
      create table catalog_contents (
        id {id},
        fingerprint {text} not null unique,
        bytes {int} not null,
        metadata {text}
      ) {strict};
      create table catalog_files (
        content {int} not null references catalog_contents (id) on delete cascade,
        place {int} not null,
        role {text} not null,
        name {text} not null,
        digest {text} not null references catalog_blobs (digest),
        bytes {int} not null,
        primary key (content, place)
      ) {keyed};
      create index catalog_files_digest on catalog_files (digest, content);
      create table catalog_models (
        name {text} primary key,
        folded {text} not null unique,
        version {int} not null check (version > 0),
        changed_ms {int} not null
      ) {keyed};
      create table catalog_versions (
        name {text} not null references catalog_models (name) on delete cascade,
        version {int} not null check (version > 0),
        content {int} not null references catalog_contents (id),
        origin {text} not null,
        revision {text} not null,
        license {text} not null,
        author {text} not null,
        added_ms {int} not null,
        primary key (name, version)
      ) {keyed};
      create index catalog_versions_content on catalog_versions (content);
      create table indexed_files (
        path {text} primary key,
        model {text} not null,
        size {int} not null,
        modified_ns {int} not null,
        inode {int} not null,
        device {int} not null,
        metadata {text},
        digest {text},
        checked_ms {int},
        problem {text}
      ) {keyed};
      create index indexed_files_model on indexed_files (model, path);
      create index indexed_files_problem on indexed_files (path) where problem is not null;
      create table model_usage (
        model {text} not null,
        day {int} not null,
        requests {int} not null,
        prompt_tokens {int} not null,
        completion_tokens {int} not null,
        last_used_ms {int} not null,
        primary key (model, day)
      ) {keyed};
      create index model_usage_day on model_usage (day, model);
      create table model_benchmarks (
        id {id},
        model {text} not null,
        measured_ms {int} not null,
        body {text} not null
      ) {strict};
      create index model_benchmarks_model on model_benchmarks (model, id);
    )",
    .down = R"(
      drop table model_benchmarks;
      drop table model_usage;
      drop table indexed_files;
      drop table catalog_versions;
      drop table catalog_models;
      drop table catalog_files;
      drop table catalog_contents;
      drop table catalog_blobs;
    )",
};

// Engine settings that were measured to be better than the default, for each model and host.
constexpr Migration kTunedSettings{
    .number = 4,
    .name = "tuned settings",
    .up = R"(
      create table tuned_settings (
        host {text} not null,
        model {text} not null,
        machine {text} not null,
        file {text} not null,
        settings {text} not null,
        note {text} not null,
        tuned_ms {int} not null,
        primary key (host, model)
      ) {keyed};
    )",
    .down = R"(
      drop table tuned_settings;
    )",
};

constexpr std::array kMigrations = {kResources, kResourceHistory, kModelCatalog, kTunedSettings};

}  // namespace

std::span<const Migration> schema_migrations() { return kMigrations; }

}  // namespace corral::store

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

// Where a file lies, and whether it is sound, is each machine's own: several may share the
// database, each with blobs and a models folder of its own. What was known before is nobody's ('')
// until a machine finds the very file. On the way down one machine's knowledge stays of each file.
constexpr Migration kFilesByMachine{
    .number = 5,
    .name = "files by machine",
    .up = R"(
      create table catalog_places (
        digest {text} not null references catalog_blobs (digest) on delete cascade,
        machine {text} not null,
        bytes {int} not null check (bytes >= 0),
        modified_ns {int} not null,
        inode {int} not null,
        unused_ms {int},
        checked_ms {int},
        problem {text},
        primary key (digest, machine)
      ) {keyed};
      insert into catalog_places
        (digest, machine, bytes, modified_ns, inode, unused_ms, checked_ms, problem)
        select digest, '', bytes, modified_ns, inode, unused_ms, checked_ms, problem
        from catalog_blobs;
      create index catalog_places_machine on catalog_places (machine, digest);
      create index catalog_places_unused on catalog_places (machine, unused_ms, digest);
      create index catalog_places_problem on catalog_places (machine, digest)
        where problem is not null;
      drop index catalog_blobs_unused;
      drop index catalog_blobs_problem;
      alter table catalog_blobs drop column modified_ns;
      alter table catalog_blobs drop column inode;
      alter table catalog_blobs drop column unused_ms;
      alter table catalog_blobs drop column checked_ms;
      alter table catalog_blobs drop column problem;
      create table indexed_files_by_machine (
        machine {text} not null,
        path {text} not null,
        model {text} not null,
        size {int} not null,
        modified_ns {int} not null,
        inode {int} not null,
        device {int} not null,
        metadata {text},
        digest {text},
        checked_ms {int},
        problem {text},
        primary key (machine, path)
      ) {keyed};
      insert into indexed_files_by_machine (machine, path, model, size, modified_ns, inode, device,
                                            metadata, digest, checked_ms, problem)
        select '', path, model, size, modified_ns, inode, device, metadata, digest, checked_ms,
               problem from indexed_files;
      drop table indexed_files;
      alter table indexed_files_by_machine rename to indexed_files;
      create index indexed_files_model on indexed_files (machine, model, path);
      create index indexed_files_problem on indexed_files (machine, path)
        where problem is not null;
    )",
    .down = R"(
      create table indexed_files_of_one (
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
      insert into indexed_files_of_one (path, model, size, modified_ns, inode, device, metadata,
                                        digest, checked_ms, problem)
        select path, model, size, modified_ns, inode, device, metadata, digest, checked_ms, problem
        from indexed_files f where machine =
          (select min(o.machine) from indexed_files o where o.path = f.path);
      drop table indexed_files;
      alter table indexed_files_of_one rename to indexed_files;
      create index indexed_files_model on indexed_files (model, path);
      create index indexed_files_problem on indexed_files (path) where problem is not null;
      alter table catalog_blobs add column modified_ns {int} not null default 0;
      alter table catalog_blobs add column inode {int} not null default 0;
      alter table catalog_blobs add column unused_ms {int};
      alter table catalog_blobs add column checked_ms {int};
      alter table catalog_blobs add column problem {text};
      update catalog_blobs set (bytes, modified_ns, inode, unused_ms, checked_ms, problem) =
        (select p.bytes, p.modified_ns, p.inode, p.unused_ms, p.checked_ms, p.problem
         from catalog_places p where p.digest = catalog_blobs.digest order by p.machine limit 1)
        where exists (select 1 from catalog_places p where p.digest = catalog_blobs.digest);
      create index catalog_blobs_unused on catalog_blobs (unused_ms, digest);
      create index catalog_blobs_problem on catalog_blobs (digest) where problem is not null;
      drop table catalog_places;
    )",
};

// How long work takes at a target, as each machine learned it: a straight line for each kind.
constexpr Migration kLearnedWork{
    .number = 6,
    .name = "learned work",
    .up = R"(
      create table learned_work (
        machine {text} not null,
        endpoint {text} not null,
        model {text} not null,
        operation {text} not null,
        streamed {int} not null check (streamed in (0, 1)),
        place {text} not null,
        requests {int} not null,
        mean_kib {real} not null,
        mean_seconds {real} not null,
        spread {real} not null,
        together {real} not null,
        deviation {real} not null,
        learned_ms {int} not null,
        primary key (machine, endpoint, model, operation, streamed)
      ) {keyed};
      create index learned_work_time on learned_work (learned_ms);
    )",
    .down = R"(
      drop table learned_work;
    )",
};

// When each machine was here last; what is kept of files of one that is gone is collected then.
constexpr Migration kMachines{
    .number = 7,
    .name = "machines",
    .up = R"(
      create table machines (
        machine {text} primary key,
        seen_ms {int} not null
      ) {keyed};
      create index machines_seen on machines (seen_ms);
    )",
    .down = R"(
      drop table machines;
    )",
};

constexpr std::array kMigrations = {kResources,     kResourceHistory, kModelCatalog,
                                    kTunedSettings, kFilesByMachine,  kLearnedWork,
                                    kMachines};

}  // namespace

std::span<const Migration> schema_migrations() { return kMigrations; }

}  // namespace corral::store

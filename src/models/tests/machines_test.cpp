// Several machines with one catalog: each has files of its own, and none disturbs the others.
#include <gmock/gmock.h>

#include "models/file_index.hpp"
#include "models/machine_id.hpp"
#include "models/machines.hpp"
#include "models/served_models.hpp"
#include "models/tests/catalog_fixture.hpp"

namespace corral::models::machines_test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

// The fixture's catalog and blobs are one machine's; `other` is another one.
class Machines : public CatalogTest {
 protected:
  struct Machine {
    Machine(Machines& test, const char* name)
        : blobs(*test.files_, test.folder_ / name),
          catalog({*test.database_, test.clock_, *test.files_, blobs, name}),
          index(*test.database_, test.clock_, name),
          served({catalog, index, *test.files_, blobs}) {}

    std::string problem_of(const std::string& model) {
      auto list = served.merge(ModelList());
      EXPECT_TRUE(list) << ::testing::PrintToString(list.error());
      const auto* entry = list ? (*list)->find_exact(model) : nullptr;
      if (entry == nullptr) return "not there";
      return entry->problem ? entry->problem->message : "";
    }

    TestBlobs blobs;
    Catalog catalog;
    FileIndex index;
    ServedModels served;
  };

  void SetUp() override {
    CatalogTest::SetUp();
    one_ = std::make_unique<Machine>(*this, "one");
    other_ = std::make_unique<Machine>(*this, "other");
  }
  static std::string bytes_of(const std::string& mark) {
    return tiny_llama().string("general.description", mark).file();
  }
  // The machine pulls the model.
  std::string fetch(Machine& machine, const std::string& name, const std::string& mark) {
    const std::string bytes = bytes_of(mark);
    CatalogFile file{FileRole::weights, mark + ".gguf", digest_of(bytes), bytes.size()};
    EXPECT_TRUE(files_->write_atomic(machine.blobs.path_of(file.digest), bytes, 0600));
    auto made = machine.catalog.put(version(name, {file}));
    EXPECT_TRUE(made) << ::testing::PrintToString(made.error());
    return file.digest;
  }
  static FileIdentity file_at(const char* path, std::uint64_t size) {
    return {path, size, sys::Wall(hours(1)), size, 1};
  }

  std::unique_ptr<Machine> one_;
  std::unique_ptr<Machine> other_;
};
FOR_EACH_DATABASE(Machines);

TEST_P(Machines, EachKnowsItsOwnFileOfTheSameModel) {
  std::filesystem::create_directories(folder_ / "one");
  std::filesystem::create_directories(folder_ / "other");
  auto digest = fetch(*one_, "chat", "a");
  EXPECT_EQ(one_->problem_of("chat"), "");
  EXPECT_THAT(other_->problem_of("chat"), HasSubstr("is missing"));
  fetch(*other_, "chat", "a");
  EXPECT_EQ(other_->problem_of("chat"), "");
  EXPECT_EQ(one_->problem_of("chat"), "") << "the other one's file is not taken for this one's";
  EXPECT_EQ(one_->catalog.show("chat")->version, 1) << "the same content is no new version";
  EXPECT_NE(one_->catalog.show("chat")->files[0].blob, other_->catalog.show("chat")->files[0].blob);
  // Damaged on one machine only.
  BlobCheck check{digest, blob_identity(*files_->stat(one_->blobs.path_of(digest))), "rotten"};
  ASSERT_OK(one_->catalog.record_check(check));
  EXPECT_THAT(one_->problem_of("chat"), HasSubstr("rotten"));
  EXPECT_EQ(other_->problem_of("chat"), "");
  EXPECT_FALSE(other_->catalog.blob_problem(digest)->has_value());
  ASSERT_OK(other_->catalog.tell_damaged());
  EXPECT_TRUE(other_->blobs.damaged.empty());
}

TEST_P(Machines, AFileThatIsNotKnownHereWantsACheck) {
  std::filesystem::create_directories(folder_ / "one");
  std::filesystem::create_directories(folder_ / "other");
  auto digest = fetch(*one_, "chat", "a");
  ASSERT_OK(files_->write_atomic(other_->blobs.path_of(digest), bytes_of("a"), 0600));
  EXPECT_THAT(other_->problem_of("chat"), HasSubstr("not checked on this machine"));
  // Nor is it taken for one that nobody uses.
  EXPECT_EQ(other_->catalog.collect(milliseconds(0))->removed, 0u);
  BlobCheck check{digest, blob_identity(*files_->stat(other_->blobs.path_of(digest))), ""};
  ASSERT_OK(other_->catalog.record_check(check));
  EXPECT_EQ(other_->problem_of("chat"), "");
  EXPECT_EQ(one_->problem_of("chat"), "");
}

TEST_P(Machines, EachRemovesItsOwnUnusedFiles) {
  std::filesystem::create_directories(folder_ / "one");
  std::filesystem::create_directories(folder_ / "other");
  auto digest = fetch(*one_, "chat", "a");
  fetch(*other_, "chat", "a");
  ASSERT_OK(one_->catalog.remove("chat"));
  clock_.advance(hours(2));
  EXPECT_EQ(one_->catalog.collect(hours(1))->removed, 1u);
  EXPECT_EQ(one_->catalog.collect(hours(1))->removed, 0u);
  EXPECT_TRUE(std::filesystem::exists(other_->blobs.path_of(digest)));
  EXPECT_EQ(count("catalog_blobs"), 1);
  // Needed again on one machine: the other one keeps what it has.
  fetch(*one_, "chat", "a");
  EXPECT_EQ(other_->catalog.collect(milliseconds(0))->removed, 0u);
  ASSERT_OK(other_->catalog.remove("chat"));
  EXPECT_EQ(other_->catalog.collect(milliseconds(0))->removed, 1u);
  EXPECT_EQ(one_->catalog.collect(milliseconds(0))->removed, 1u);
  EXPECT_EQ(count("catalog_places"), 0);
  EXPECT_EQ(count("catalog_blobs"), 0);
}

TEST_P(Machines, ABlobThatNoMachineHasIsForgotten) {
  std::filesystem::create_directories(folder_ / "one");
  fetch(*one_, "chat", "a");
  run("delete from catalog_places");
  ASSERT_OK(other_->catalog.remove("chat"));
  EXPECT_EQ(count("catalog_blobs"), 0);
}

TEST_P(Machines, WhatWasKnownBeforeIsWhoseFileItIs) {
  std::filesystem::create_directories(folder_ / "one");
  std::filesystem::create_directories(folder_ / "other");
  auto mine = fetch(*one_, "mine", "a");
  auto changed = fetch(*one_, "changed", "b");
  run("update catalog_places set machine = ''");  // as an earlier program left it
  ASSERT_OK(files_->write_atomic(one_->blobs.path_of(changed), bytes_of("b"), 0600));
  ASSERT_OK(files_->write_atomic(other_->blobs.path_of(mine), bytes_of("a"), 0600));
  for (auto* machine : {other_.get(), one_.get(), one_.get()}) {
    ASSERT_OK(machine->catalog.claim_files());
  }
  EXPECT_EQ(one_->problem_of("mine"), "");
  EXPECT_THAT(one_->problem_of("changed"), HasSubstr("not checked"));
  EXPECT_THAT(other_->problem_of("mine"), HasSubstr("not checked"));
  // Taken in again, it is read whole: what an earlier program knew of it is another file.
  ASSERT_OK(files_->write_atomic(one_->blobs.path_of(changed), bytes_of("c"), 0600));
  const CatalogFile file{FileRole::weights, "b.gguf", changed, bytes_of("b").size()};
  EXPECT_FAILS(ErrorCode::io, one_->catalog.put(version("changed", {file})));
  fetch(*one_, "changed", "b");
  EXPECT_EQ(one_->problem_of("changed"), "");
}

TEST_P(Machines, EachHasAnIndexOfItsModelsFolder) {
  auto metadata = std::make_shared<GgufMetadata>();
  metadata->architecture = "llama";
  ASSERT_OK(one_->index.save({{{file_at("/m/a", 5)}, metadata}}, {}));
  ASSERT_OK(other_->index.save({{{file_at("/m/a", 7)}, metadata}}, {}));
  EXPECT_EQ(one_->index.load()->at(0).files[0].size, 5u);
  EXPECT_EQ(other_->index.load()->at(0).files[0].size, 7u);
  ASSERT_OK(one_->index.record(file_at("/m/a", 5), digest_of("x")));
  EXPECT_EQ(one_->index.record(file_at("/m/a", 5), digest_of("y"))->problem.empty(), false);
  EXPECT_EQ(one_->index.problems()->size(), 1u);
  EXPECT_TRUE(other_->index.problems()->empty());
  ASSERT_OK(other_->index.record(file_at("/m/a", 7), digest_of("z")));
  EXPECT_EQ(other_->index.digests()->at("/m/a"), digest_of("z"));
  ASSERT_OK(other_->index.save({}, {"/m/a"}));
  EXPECT_TRUE(other_->index.load()->empty());
  EXPECT_EQ(one_->index.load()->size(), 1u);
  run("update indexed_files set machine = ''");  // as an earlier program left it
  EXPECT_EQ(other_->index.load()->size(), 1u);
  EXPECT_EQ(count("indexed_files"), 1);
}

// Blobs, files and the machine itself; those of others stay.
TEST_P(Machines, OneThatIsGoneForGoodLeavesNothing) {
  std::filesystem::create_directories(folder_ / "one");
  std::filesystem::create_directories(folder_ / "other");
  models::Machines here(*database_, clock_, "one");
  models::Machines there(*database_, clock_, "other");
  ASSERT_OK(here.note());
  ASSERT_OK(there.note());
  auto metadata = std::make_shared<GgufMetadata>();
  metadata->architecture = "llama";
  for (Machine* machine : {one_.get(), other_.get()}) {
    fetch(*machine, "chat", "a");
    ASSERT_OK(machine->index.save({{{file_at("/m/a", 5)}, metadata}}, {}));
  }
  fetch(*other_, "alone", "b");
  ASSERT_OK(one_->catalog.remove("alone"));
  EXPECT_EQ(count("catalog_blobs"), 2);

  clock_.advance(hours(24 * 30));
  ASSERT_OK(here.note());
  EXPECT_EQ(here.collect(hours(24 * 30)).value(), 0u) << "it may still come";
  clock_.advance(milliseconds(1));
  EXPECT_EQ(here.collect(hours(24 * 30)).value(), 1u);
  EXPECT_EQ(run("select machine from machines")[0].text(0).value(), "one");
  EXPECT_EQ(count("machines"), 1);
  EXPECT_EQ(count("catalog_places"), 1);
  EXPECT_EQ(count("catalog_blobs"), 1) << "nobody has the other one, and no name uses it";
  EXPECT_EQ(one_->problem_of("chat"), "");
  EXPECT_TRUE(other_->index.load()->empty());
  EXPECT_EQ(one_->index.load()->size(), 1u);
  EXPECT_EQ(here.collect(hours(24 * 30)).value(), 0u);
  // It comes back all the same: its file is as good as copied there.
  ASSERT_OK(there.note());
  EXPECT_THAT(other_->problem_of("chat"), HasSubstr("not checked on this machine"));
  EXPECT_EQ(other_->catalog.collect(milliseconds(0))->removed, 1u) << "what no name uses";
  EXPECT_THAT(other_->problem_of("chat"), HasSubstr("not checked on this machine"));
}

TEST_P(Machines, OneIsNeverForgottenByItself) {
  models::Machines here(*database_, clock_, "one");
  ASSERT_OK(here.note());
  clock_.advance(hours(24 * 365));
  EXPECT_EQ(here.collect(hours(1)).value(), 0u);
  EXPECT_EQ(count("machines"), 1);
}

// It was gone before machines noted that they are here.
TEST_P(Machines, OneThatNeverSaidSoCountsFromWhenItIsFirstSeen) {
  std::filesystem::create_directories(folder_ / "other");
  models::Machines here(*database_, clock_, "one");
  fetch(*other_, "chat", "a");
  run("insert into indexed_files values ('third', '/m/a', '/m/a', 9, 9, 9, 9, '{}', null, null, "
      "null), ('', '/m/b', '/m/b', 9, 9, 9, 9, '{}', null, null, null)");
  ASSERT_OK(here.note());
  EXPECT_EQ(count("machines"), 3);
  clock_.advance(hours(2));
  ASSERT_OK(here.note());
  EXPECT_EQ(here.collect(hours(1)).value(), 2u);
  EXPECT_EQ(count("catalog_places"), 0);
  EXPECT_EQ(count("catalog_files"), 1) << "the name stays, to be pulled";
  EXPECT_EQ(run("select machine from indexed_files")[0].text(0).value(), "") << "nobody's";
}

TEST_P(Machines, MuchIsForgottenInSeveralTurns) {
  models::Machines here(*database_, clock_, "one");
  run("insert into catalog_blobs with recursive n (i) as (select 10000 union all select i + 1 from "
      "n "
      "where i < 10599) select 'sha256:' || i, 5, 7 from n");
  run("insert into catalog_places select digest, 'gone', 5, 1, 2, null, null, null from "
      "catalog_blobs");
  ASSERT_OK(here.note());
  clock_.advance(hours(2));
  EXPECT_EQ(here.collect(hours(1)).value(), 0u);
  EXPECT_EQ(count("catalog_places"), 600 - models::Machines::kCollectedAtOnce);
  EXPECT_EQ(here.collect(hours(1)).value(), 1u);
  EXPECT_EQ(count("catalog_blobs"), 0);
}

TEST(MachineId, IsMadeOnceAndKept) {
  sys::TempFolder folder;
  auto files = sys::real_files();
  auto id = machine_id(*files, folder.path());
  ASSERT_OK(id);
  EXPECT_EQ(id->size(), 32u);
  EXPECT_EQ(*machine_id(*files, folder.path()), *id);
  sys::TempFolder another;
  EXPECT_NE(*machine_id(*files, another.path()), *id);
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string(32, 'G'), std::string(200, 'a')}) {
    folder.put(kMachineFile, bad);
    EXPECT_FAILS(ErrorCode::invalid_argument, machine_id(*files, folder.path()));
  }
  EXPECT_FALSE(machine_id(*files, folder / "none"));
}

}  // namespace
}  // namespace corral::models::machines_test

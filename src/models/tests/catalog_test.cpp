#include "models/catalog.hpp"

#include <gmock/gmock.h>

#include <fmt/core.h>

#include <thread>

#include "models/tests/catalog_fixture.hpp"

namespace corral::models::catalog_test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Models = CatalogTest;
FOR_EACH_DATABASE(Models);

TEST_P(Models, WhatIsPutIsShown) {
  auto gguf = weights("one");
  auto licence = blob("LICENSE", "be kind", FileRole::license);
  ASSERT_OK(catalog_->put(version("Llama3.2:3b", {gguf, licence})));
  auto shown = catalog_->show("llama3.2:3B:latest");
  ASSERT_OK(shown);
  EXPECT_EQ(shown->name, "Llama3.2:3b");
  EXPECT_EQ(shown->version, 1);
  EXPECT_EQ(shown->origin, "hf.co/Llama3.2:3b");
  EXPECT_EQ(shown->revision, "r1");
  EXPECT_EQ(shown->license, "mit");
  EXPECT_EQ(shown->author, "ada");
  EXPECT_EQ(shown->added, clock_.wall());
  EXPECT_EQ(shown->bytes, gguf.bytes + licence.bytes);
  ASSERT_EQ(shown->files.size(), 2u);
  EXPECT_EQ(shown->files[0].file, gguf);
  EXPECT_EQ(shown->files[1].file, licence);
  EXPECT_EQ(shown->files[0].blob, blob_identity(*files_->stat(path(gguf.digest))));
  ASSERT_NE(shown->metadata, nullptr);
  EXPECT_EQ(shown->metadata->architecture, "llama");
  EXPECT_EQ(shown->metadata->context_length, 2048u);
}

TEST_P(Models, OtherContentIsTheNextVersionAndTheSameIsNone) {
  int changes = 0;
  catalog_->on_change([&] { ++changes; });
  EXPECT_EQ(put("chat", "a").version, 1);
  EXPECT_EQ(put("chat", "b").version, 2);
  auto again = version("CHAT", {weights("b")});
  again.revision = "r2";
  auto same = catalog_->put(again);
  ASSERT_OK(same);
  EXPECT_EQ(same->version, 2);
  EXPECT_EQ(same->name, "chat");
  EXPECT_EQ(same->revision, "r2");
  EXPECT_EQ(changes, 3);
  auto versions = catalog_->versions("chat");
  ASSERT_OK(versions);
  ASSERT_EQ(versions->size(), 2u);
  EXPECT_EQ((*versions)[0].version, 2);
  EXPECT_TRUE((*versions)[0].present);
  EXPECT_FALSE((*versions)[1].present);
  EXPECT_EQ((*versions)[1].author, "ada");
  EXPECT_EQ((*versions)[1].origin, "hf.co/chat");
}

TEST_P(Models, RollbackGoesToAnyVersionThatIsKept) {
  for (const char* mark : {"a", "b", "c"}) put("chat", mark);
  auto back = catalog_->rollback("chat", std::nullopt);
  ASSERT_OK(back);
  EXPECT_EQ(back->version, 2);
  EXPECT_EQ(back->files[0].file.name, "b.gguf");
  EXPECT_EQ(catalog_->rollback("chat", 1)->version, 1);
  EXPECT_FAILS(ErrorCode::conflict, catalog_->rollback("chat", std::nullopt));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->rollback("chat", 9));
  EXPECT_EQ(catalog_->rollback("chat", 3)->version, 3);
  EXPECT_EQ(catalog_->rollback("chat", 1)->version, 1);
  // The next one is numbered after all that there were.
  EXPECT_EQ(put("chat", "d").version, 4);
}

TEST_P(Models, OnlyTheLastVersionsAreKept) {
  auto first = weights("a");
  for (const char* mark : {"a", "b", "c", "d"}) put("chat", mark);
  auto versions = catalog_->versions("chat");
  ASSERT_OK(versions);
  ASSERT_EQ(versions->size(), static_cast<std::size_t>(Catalog::kKeptVersions));
  EXPECT_EQ(versions->back().version, 2);
  clock_.advance(hours(2));
  auto collected = catalog_->collect(hours(1));
  ASSERT_OK(collected);
  EXPECT_EQ(collected->removed, 1u);
  EXPECT_EQ(collected->bytes, first.bytes);
  EXPECT_FALSE(lies(first.digest));
}

TEST_P(Models, BlobsAreSharedAndRemovedOnceNobodyUsesThem) {
  auto shared = weights("shared");
  ASSERT_OK(catalog_->put(version("one", {shared})));
  ASSERT_OK(catalog_->put(version("two", {shared, blob("LICENSE", "kind", FileRole::license)})));
  EXPECT_EQ(count("catalog_blobs"), 2);
  EXPECT_EQ(count("catalog_contents"), 2);
  ASSERT_OK(catalog_->remove("one"));
  clock_.advance(hours(5));
  EXPECT_EQ(catalog_->collect(hours(1))->removed, 0u);
  ASSERT_OK(catalog_->remove("two"));
  EXPECT_EQ(catalog_->collect(hours(1))->removed, 0u);  // the grace has only begun
  EXPECT_TRUE(lies(shared.digest));
  clock_.advance(hours(1));
  EXPECT_EQ(catalog_->collect(hours(1))->removed, 2u);
  EXPECT_FALSE(lies(shared.digest));
  for (const char* table :
       {"catalog_blobs", "catalog_contents", "catalog_files", "catalog_models", "catalog_versions"})
    EXPECT_EQ(count(table), 0) << table;
}

TEST_P(Models, ABlobThatIsNeededAgainOrInUseStays) {
  auto again = weights("again");
  auto pulled = weights("pulled");
  for (const auto& file : {again, pulled}) ASSERT_OK(catalog_->put(version(file.name, {file})));
  for (const auto& file : {again, pulled}) ASSERT_OK(catalog_->remove(file.name));
  clock_.advance(hours(5));
  ASSERT_OK(catalog_->put(version("new", {again})));
  blobs_.used = pulled.digest;
  EXPECT_EQ(catalog_->collect(milliseconds(0))->removed, 0u);
  EXPECT_TRUE(lies(again.digest));
  EXPECT_TRUE(lies(pulled.digest));
  blobs_.used.clear();
  EXPECT_EQ(catalog_->collect(milliseconds(0))->removed, 1u);
  EXPECT_TRUE(lies(again.digest));
  EXPECT_FALSE(lies(pulled.digest));
}

TEST_P(Models, BlobsThatNobodyKnowsAreRemovedAfterTheirGrace) {
  auto lost = weights("lost");
  EXPECT_EQ(catalog_->collect(hours(1))->removed, 0u);
  clock_.advance(hours(2));
  blobs_.stuck = lost.digest;
  auto stuck = catalog_->collect(hours(1));
  ASSERT_OK(stuck);
  EXPECT_EQ(stuck->removed, 0u);
  EXPECT_THAT(stuck->problems, ElementsAre(HasSubstr("the disk failed")));
  blobs_.stuck.clear();
  EXPECT_EQ(catalog_->collect(hours(1))->removed, 1u);
  // One that was found so and then brought in is as any other.
  auto found = weights("found");
  ASSERT_OK(catalog_->collect(hours(1)));
  ASSERT_OK(catalog_->put(version("found", {found})));
  EXPECT_EQ(catalog_->show("found")->files[0].blob,
            blob_identity(*files_->stat(path(found.digest))));
}

TEST_P(Models, CopiesAndTagsAreNamesOfTheSameVersion) {
  put("chat", "a");
  put("chat", "b");
  auto copied = catalog_->copy("chat:latest", "mine", "eve");
  ASSERT_OK(copied);
  EXPECT_EQ(copied->name, "mine");
  EXPECT_EQ(copied->version, 1);
  EXPECT_EQ(copied->author, "eve");
  EXPECT_EQ(copied->origin, "hf.co/chat");
  EXPECT_EQ(copied->files[0].file.name, "b.gguf");
  EXPECT_FAILS(ErrorCode::conflict, catalog_->copy("chat", "MINE", "eve"));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->copy("nobody", "mine", "eve"));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->copy("nobody", "new", "eve"));

  auto tagged = catalog_->tag("chat", 1, "mine", "eve");
  ASSERT_OK(tagged);
  EXPECT_EQ(tagged->version, 2);
  EXPECT_EQ(tagged->files[0].file.name, "a.gguf");
  EXPECT_EQ(catalog_->rollback("mine", std::nullopt)->files[0].file.name, "b.gguf");
  EXPECT_FAILS(ErrorCode::not_found, catalog_->tag("chat", 7, "mine", "eve"));
  EXPECT_FAILS(ErrorCode::invalid_argument, catalog_->tag("chat", 1, "", "eve"));
  EXPECT_FAILS(ErrorCode::invalid_argument, catalog_->tag("chat", 1, "x", ""));

  ASSERT_OK(catalog_->remove("chat"));
  EXPECT_THAT(names(), ElementsAre("mine"));
}

TEST_P(Models, SingleVersionsCanBeRemoved) {
  for (const char* mark : {"a", "b"}) put("chat", mark);
  EXPECT_FAILS(ErrorCode::conflict, catalog_->remove_version("chat", 2));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->remove_version("chat", 3));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->remove_version("nobody", 3));
  ASSERT_OK(catalog_->remove_version("chat", 1));
  EXPECT_EQ(catalog_->versions("chat")->size(), 1u);
  EXPECT_EQ(count("catalog_contents"), 1);
}

TEST_P(Models, PagesGoByNameAndSearchByPart) {
  for (const char* name : {"b/Qwen-2", "a", "Zebra", "100%_sure", "c\xc3\xa9t\xc3\xa9"})
    put(name, "same");
  EXPECT_EQ(count("catalog_contents"), 1);
  EXPECT_THAT(names({.limit = 2}), ElementsAre("100%_sure", "Zebra"));
  EXPECT_THAT(names({.after = "Zebra", .limit = 2}), ElementsAre("a", "b/Qwen-2"));
  EXPECT_THAT(names({.after = "c\xc3\xa9t\xc3\xa9"}), IsEmpty());
  EXPECT_THAT(names({.search = "QWEN"}), ElementsAre("b/Qwen-2"));
  EXPECT_THAT(names({.search = "%_"}), ElementsAre("100%_sure"));
  EXPECT_THAT(names({.search = "e"}), ElementsAre("100%_sure", "Zebra", "b/Qwen-2"));
  EXPECT_THAT(names({.after = "Zebra", .search = "e"}), ElementsAre("b/Qwen-2"));
  auto page = catalog_->list({});
  ASSERT_OK(page);
  for (const auto& model : *page) {
    ASSERT_EQ(model.files.size(), 1u) << model.name;
    EXPECT_EQ(model.files[0].file.name, "same.gguf");
  }
  EXPECT_FAILS(ErrorCode::invalid_argument, catalog_->list({.limit = 0}));
  EXPECT_FAILS(ErrorCode::invalid_argument, catalog_->list({.limit = 1001}));
  EXPECT_FAILS(ErrorCode::invalid_argument, catalog_->list({.search = "\xff"}));
}

TEST_P(Models, WrongVersionsAreRefusedAndLeaveNothing) {
  auto good = weights("good");
  auto put_with = [&](auto change) {
    ModelVersion wanted = version("chat", {good});
    change(wanted);
    return catalog_->put(wanted);
  };
  const std::string long_name(201, 'x');
  for (const std::string& name :
       {std::string(), long_name, std::string("a//b"), std::string("../up"), std::string("a/."),
        std::string("a\nb"), std::string("\xff"), std::string(":latest"), std::string("-rf"),
        std::string("a\\b"), std::string("a ")}) {
    EXPECT_FAILS(ErrorCode::invalid_argument, put_with([&](auto& v) { v.name = name; }));
  }
  EXPECT_FAILS(ErrorCode::invalid_argument, put_with([](auto& v) { v.files.clear(); }));
  EXPECT_FAILS(ErrorCode::invalid_argument, put_with([](auto& v) { v.author.clear(); }));
  EXPECT_FAILS(ErrorCode::invalid_argument, put_with([](auto& v) { v.license = "a\nb"; }));
  EXPECT_FAILS(ErrorCode::invalid_argument, put_with([](auto& v) { v.files[0].name = ""; }));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               put_with([](auto& v) { v.files[0].digest = "sha256:../../etc/passwd"; }));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               put_with([](auto& v) { v.files[0].role = FileRole::license; }));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               put_with([&](auto& v) { v.files.assign(Catalog::kMostFiles + 1, good); }));
  EXPECT_FAILS(ErrorCode::invalid_argument,
               put_with([](auto& v) { v.files[0].bytes = UINT64_MAX; }));
  EXPECT_FAILS(ErrorCode::io, put_with([](auto& v) { v.files[0].bytes += 1; }));
  EXPECT_FAILS(ErrorCode::io, put_with([&](auto& v) {
                 v.files[0].digest = digest_of("a blob that is not there");
               }));
  auto text = blob("readme", "this is no model");
  EXPECT_FALSE(put_with([&](auto& v) { v.files[0] = text; }));
  EXPECT_EQ(count("catalog_models"), 0);
  EXPECT_EQ(count("catalog_blobs"), 0);
  EXPECT_FAILS(ErrorCode::not_found, catalog_->show("chat"));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->versions("chat"));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->remove("chat"));
  EXPECT_FAILS(ErrorCode::not_found, catalog_->rollback("chat", std::nullopt));
}

TEST_P(Models, AReplacedBlobMustHoldTheSameBytes) {
  auto file = weights("a");
  ASSERT_OK(catalog_->put(version("chat", {file})));
  auto bytes = files_->read(path(file.digest), 1 << 20);
  ASSERT_OK(bytes);
  std::string other = *bytes;
  other.back() = 'x';
  // In place of the old file, of the same size.
  ASSERT_OK(files_->write_atomic(path(file.digest), other, 0600));
  EXPECT_FAILS(ErrorCode::io, catalog_->put(version("chat", {file})));
  EXPECT_TRUE(blobs_.damaged.contains(file.digest));  // so it is fetched again
  ASSERT_OK(files_->write_atomic(path(file.digest), *bytes, 0600));
  ASSERT_OK(catalog_->put(version("chat", {file})));
  EXPECT_TRUE(blobs_.damaged.empty());
  EXPECT_EQ(catalog_->show("chat")->files[0].blob, blob_identity(*files_->stat(path(file.digest))));
}

TEST_P(Models, AFailedCheckMarksAllModelsUntilItIsMended) {
  auto file = weights("a");
  ASSERT_OK(catalog_->put(version("chat", {file})));
  ASSERT_OK(catalog_->copy("chat", "mine", "eve"));
  EXPECT_EQ(catalog_->blob_problem(file.digest)->has_value(), false);
  BlobCheck check{file.digest, blob_identity(*files_->stat(path(file.digest))), "rotten"};
  ASSERT_OK(catalog_->record_check(check));
  EXPECT_EQ(catalog_->show("mine")->files[0].problem, "rotten");
  EXPECT_EQ((*catalog_->list({}))[0].files[0].problem, "rotten");
  EXPECT_EQ(**catalog_->blob_problem(file.digest), "rotten");
  EXPECT_TRUE(blobs_.damaged.contains(file.digest));
  blobs_.damaged.clear();
  ASSERT_OK(catalog_->tell_damaged());  // as the next start does
  EXPECT_TRUE(blobs_.damaged.contains(file.digest));
  check.problem.clear();
  ASSERT_OK(catalog_->record_check(check));
  EXPECT_EQ(catalog_->show("mine")->files[0].problem, "");
  EXPECT_TRUE(blobs_.damaged.empty());
  check.digest = digest_of("nothing");
  EXPECT_FAILS(ErrorCode::not_found, catalog_->record_check(check));
  EXPECT_EQ(catalog_->blob_problem(check.digest)->has_value(), false);
}

TEST_P(Models, ManyThreadsPutAndRemoveWithoutLoss) {
  constexpr int kThreads = 4;
  auto shared = weights("shared");
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 10; ++i) {
          std::string name = fmt::format("m{}-{}", t, i);
          auto made = catalog_->put(version(name, {shared}));
          EXPECT_TRUE(made) << ::testing::PrintToString(made.error());
          if (i % 2 == 1) EXPECT_TRUE(catalog_->remove(name));
          if (i % 3 == 0) EXPECT_TRUE(catalog_->collect(milliseconds(0)));
        }
      });
    }
  }
  EXPECT_EQ(names().size(), static_cast<std::size_t>(kThreads * 5));
  EXPECT_TRUE(lies(shared.digest));
}

TEST(Blobs, DigestsAndFilesAreHeldToTheirForm) {
  EXPECT_TRUE(is_digest("sha256:" + std::string(64, 'a')));
  for (const std::string& bad :
       {std::string(64, 'a'), "sha256:" + std::string(63, 'a'), "sha256:" + std::string(64, 'A'),
        "sha256:" + std::string(64, '/'), std::string()})
    EXPECT_FALSE(is_digest(bad)) << bad;
  sys::TempFolder folder;
  auto files = sys::real_files();
  BlobFolder none(*files, folder / "none");
  EXPECT_TRUE(none.list()->empty());
  BlobFolder blobs(*files, folder.path());
  folder.put("sha256-" + std::string(64, 'b'), "x");
  folder.put("sha256-short", "x");
  folder.put("partial", "x");
  EXPECT_THAT(*blobs.list(), ElementsAre("sha256:" + std::string(64, 'b')));
  EXPECT_FALSE(blobs.remove("sha256:../x"));
  EXPECT_TRUE(blobs.remove("sha256:" + std::string(64, 'b')));
  EXPECT_TRUE(blobs.list()->empty());
  EXPECT_FALSE(blobs.in_use("any"));
}

TEST(Hashes, AreThoseOfTheStandardAndNoticeAFileThatShrinks) {
  Sha256 hash;
  hash.update("a");
  hash.update("bc");
  EXPECT_EQ(hash.digest(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  sys::TempFolder folder;
  auto files = sys::real_files();
  auto file = folder.put("abc", "abc");
  EXPECT_EQ(*hash_file(*files, file),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_FALSE(hash_file(*files, folder / "none"));
  auto step = FileHash::open(*files, file);
  ASSERT_TRUE(step);
  EXPECT_EQ(*step->step(2), false);
  EXPECT_EQ(step->done(), 2u);
  std::filesystem::resize_file(file, 2);
  EXPECT_EQ(step->step(5).error().code, ErrorCode::io);
}

TEST(Roles, AreReadAsTheyAreWritten) {
  for (FileRole role : {FileRole::weights, FileRole::projector, FileRole::adapter,
                        FileRole::chat_template, FileRole::license, FileRole::parameters})
    EXPECT_EQ(parse_file_role(to_string(role)), role);
  EXPECT_FALSE(parse_file_role("unknown"));
}

}  // namespace
}  // namespace corral::models::catalog_test

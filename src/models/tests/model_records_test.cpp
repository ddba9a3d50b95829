// Usage, measurements, the index of the models folder, and the list made of folder and catalog.
#include <gmock/gmock.h>

#include <fmt/core.h>

#include "models/file_index.hpp"
#include "models/gguf_json.hpp"
#include "models/model_folder.hpp"
#include "models/served_models.hpp"
#include "models/tests/catalog_fixture.hpp"
#include "models/usage_history.hpp"

namespace corral::models::model_records_test {
namespace {

using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Records : public CatalogTest {
 protected:
  void SetUp() override {
    CatalogTest::SetUp();
    history_ = std::make_unique<UsageHistory>(*database_, clock_);
    index_ = std::make_unique<FileIndex>(*database_, clock_, kMachine);
    served_ = std::make_unique<ServedModels>(ServedParts{*catalog_, *index_, *files_, blobs_});
  }
  std::vector<std::string> used(int limit) {
    std::vector<std::string> out;
    for (const auto& total : history_->most_used(limit).value()) out.push_back(total.use.model);
    return out;
  }
  sys::Path put_file(const std::string& name, const std::string& mark) {
    return folder_.put("models/" + name, tiny_llama().string("general.description", mark).file());
  }
  // A scan by a program that has just begun.
  Snapshot scan() {
    clock_.advance(hours(1));
    ModelFolder folder(*files_, clock_, {folder_ / "models"}, {}, index_.get());
    auto list = folder.scan();
    EXPECT_TRUE(list) << ::testing::PrintToString(list.error());
    return list.value_or(nullptr);
  }
  Snapshot merged() {
    auto list = served_->merge(*scan());
    EXPECT_TRUE(list) << ::testing::PrintToString(list.error());
    return list.value_or(nullptr);
  }
  std::string problem_of(const std::string& name) {
    auto list = merged();
    const auto* entry = list->find_exact(name);
    if (entry == nullptr) return "not there";
    return entry->problem ? entry->problem->message : entry->usable() ? "" : "unusable";
  }

  std::unique_ptr<UsageHistory> history_;
  std::unique_ptr<FileIndex> index_;
  std::unique_ptr<ServedModels> served_;
};
FOR_EACH_DATABASE(Records);

TEST_P(Records, UsageAddsUpByDay) {
  ASSERT_OK(history_->note({{"a", 1, 10, 5}, {"b", 1, 1, 1}, {"a", 2, 20, 6}}));
  clock_.advance(hours(30));
  ASSERT_OK(history_->note({{"a", 1, 1, 1}}));
  auto total = history_->total("a");
  ASSERT_OK(total);
  EXPECT_EQ(total->use.requests, 4u);
  EXPECT_EQ(total->use.prompt_tokens, 31u);
  EXPECT_EQ(total->use.completion_tokens, 12u);
  EXPECT_EQ(total->last_used, clock_.wall());
  auto days = history_->days("a", 10);
  ASSERT_OK(days);
  ASSERT_EQ(days->size(), 2u);
  EXPECT_EQ((*days)[0].use.requests, 1u);
  EXPECT_EQ((*days)[1].use.requests, 3u);
  EXPECT_EQ((*days)[0].day - (*days)[1].day, std::chrono::days(1));
  EXPECT_EQ(history_->total("nobody")->use.requests, 0u);
  // What cannot be a model's name is passed over, and nothing is written for nothing.
  ASSERT_OK(history_->note({{"", 1, 1, 1}, {"\xff", 1, 1, 1}, {std::string("a\0b", 3), 1, 1, 1}}));
  EXPECT_EQ(count("model_usage"), 3);
}

TEST_P(Records, TheMostUsedComeFirstAndOldUseIsForgotten) {
  ASSERT_OK(history_->note({{"old", 1000, 0, 0}}));
  clock_.advance(hours(24 * UsageHistory::kRecentDays));
  ASSERT_OK(history_->note({{"a", 2, 0, 0}, {"b", 5, 0, 0}, {"c", 2, 0, 0}}));
  clock_.advance(hours(1));
  ASSERT_OK(history_->note({{"c", 0, 1, 0}}));
  EXPECT_THAT(used(10), ElementsAre("b", "c", "a"));
  EXPECT_THAT(used(1), ElementsAre("b"));
  EXPECT_FAILS(ErrorCode::invalid_argument, history_->most_used(0));
  EXPECT_FAILS(ErrorCode::invalid_argument, history_->days("a", 1001));
  clock_.advance(hours(24 * (UsageHistory::kKeptDays - UsageHistory::kRecentDays + 1)));
  ASSERT_OK(history_->forget_old());
  EXPECT_EQ(count("model_usage"), 3);
  EXPECT_TRUE(history_->days("old", 5)->empty());
}

TEST_P(Records, MeasurementsAreKeptNewestFirstUpToANumber) {
  for (int i = 0; i < UsageHistory::kKeptBenchmarks + 5; ++i)
    ASSERT_OK(history_->add_benchmark("a", fmt::format("{{\"n\":{}}}", i)));
  ASSERT_OK(history_->add_benchmark("b", "{}"));
  EXPECT_EQ(count("model_benchmarks"), UsageHistory::kKeptBenchmarks + 1);
  auto results = history_->benchmarks("a", 2);
  ASSERT_OK(results);
  ASSERT_EQ(results->size(), 2u);
  EXPECT_EQ((*results)[0].body, "{\"n\":54}");
  EXPECT_GT((*results)[0].id, (*results)[1].id);
  EXPECT_EQ((*results)[0].measured, clock_.wall());
  EXPECT_FAILS(ErrorCode::invalid_argument, history_->add_benchmark("a", "[]"));
  EXPECT_FAILS(ErrorCode::invalid_argument, history_->add_benchmark("a", "{"));
  EXPECT_FAILS(ErrorCode::too_large,
               history_->add_benchmark("a", std::string(UsageHistory::kLargestBody + 1, ' ')));
  EXPECT_FAILS(ErrorCode::invalid_argument, history_->benchmarks("a", 0));
}

TEST_P(Records, AStartReadsOnlyWhatIsNewOrChanged) {
  put_file("one.gguf", "1");
  put_file("two.gguf", "2");
  auto first = scan();
  ASSERT_EQ(first->entries().size(), 2u);
  EXPECT_EQ(count("indexed_files"), 2);
  // Proof that it is not read again: what the index says is what is shown.
  run("update indexed_files set metadata = replace(metadata, '\"Tiny\"', '\"Known\"')");
  auto second = scan();
  ASSERT_EQ(second->entries().size(), 2u);
  EXPECT_EQ(second->entries()[0].metadata->name, "Known");
  EXPECT_TRUE(second->entries()[0].usable());
  EXPECT_THAT(second->warnings(), IsEmpty());
  put_file("two.gguf", "another text, so another size");
  std::filesystem::remove(folder_ / "models/one.gguf");
  put_file("three.gguf", "3");
  auto third = scan();
  ASSERT_EQ(third->entries().size(), 2u);
  for (const auto& entry : third->entries()) EXPECT_EQ(entry.metadata->name, "Tiny") << entry.name;
  EXPECT_EQ(count("indexed_files"), 2);
  // Metadata of another format is read anew.
  run("update indexed_files set metadata = '{\"format\":999}'");
  EXPECT_EQ(scan()->entries()[0].metadata->name, "Tiny");
}

TEST_P(Records, PartsOfASplitModelAreKeptTogether) {
  for (unsigned part = 0; part < 3; ++part) {
    GgufWriter writer = part == 0 ? tiny_llama() : GgufWriter();
    folder_.put("models/" + split_file_name("big", part + 1, 3),
                writer.number("split.no", part).number("split.count", 3).file());
  }
  ASSERT_EQ(scan()->entries().size(), 1u);
  EXPECT_EQ(count("indexed_files"), 3);
  run("update indexed_files set metadata = replace(metadata, '\"Tiny\"', '\"Known\"')");
  auto again = scan();
  ASSERT_EQ(again->entries().size(), 1u);
  EXPECT_EQ(again->entries()[0].files.size(), 3u);
  EXPECT_EQ(again->entries()[0].metadata->name, "Known");
}

TEST_P(Records, WithoutADatabaseTheFolderIsReadAllTheSame) {
  put_file("one.gguf", "1");
  run("drop table indexed_files");
  auto list = scan();
  ASSERT_EQ(list->entries().size(), 1u);
  EXPECT_TRUE(list->entries()[0].usable());
  EXPECT_THAT(list->warnings(), ElementsAre(HasSubstr("cannot be read"), HasSubstr("be written")));
}

TEST_P(Records, TheFirstCheckOfAFileIsWhatLaterOnesAreHeldAgainst) {
  auto path = put_file("one.gguf", "1");
  auto entry = scan()->entries().at(0);
  const FileIdentity file = entry.files[0];
  const std::string good = digest_of("good");
  const std::string bad = digest_of("bad");
  auto first = index_->record(file, good);
  ASSERT_OK(first);
  EXPECT_EQ(first->problem, "");
  EXPECT_EQ(problem_of("one"), "");
  auto second = index_->record(file, bad);
  ASSERT_OK(second);
  EXPECT_THAT(second->problem, HasSubstr("one.gguf holds other bytes"));
  EXPECT_EQ(second->digest, good);
  EXPECT_THAT(problem_of("one"), HasSubstr("holds other bytes"));
  EXPECT_EQ(index_->record(file, good)->problem, "");
  EXPECT_EQ(problem_of("one"), "");
  // Another file under that name has a checksum of its own.
  ASSERT_OK(index_->record(file, bad));
  put_file("one.gguf", "quite another");
  EXPECT_EQ(problem_of("one"), "");
  EXPECT_EQ(index_->record(scan()->entries().at(0).files[0], bad)->problem, "");
  FileIdentity gone = file;
  gone.path = "/nowhere";
  EXPECT_FAILS(ErrorCode::not_found, index_->record(gone, good));
}

TEST_P(Records, FolderAndCatalogAreOneList) {
  put_file("hand.gguf", "1");
  put_file("Both.gguf", "1");
  put("fetched", "2");
  put("both:latest", "3");
  auto projector = blob("mmproj.gguf", "see", FileRole::projector);
  ASSERT_OK(catalog_->put(version("seeing", {weights("4"), projector})));
  auto list = merged();
  std::vector<std::string> names;
  for (const auto& entry : list->entries()) {
    names.push_back(entry.name);
    EXPECT_TRUE(entry.usable()) << entry.name;
    EXPECT_NE(entry.metadata, nullptr) << entry.name;
  }
  EXPECT_THAT(names, ElementsAre("Both", "fetched", "hand", "seeing"));
  EXPECT_THAT(list->warnings(),
              ElementsAre(HasSubstr("'both:latest' of the catalog is not served")));
  const auto* fetched = list->find_exact("fetched");
  EXPECT_EQ(fetched->version, 1);
  EXPECT_EQ(fetched->origin, "hf.co/fetched");
  EXPECT_EQ(fetched->files[0].path.parent_path(), folder_ / "blobs");
  EXPECT_EQ(list->find_exact("hand")->version, 0);
  EXPECT_EQ(list->find_exact("seeing")->files.size(), 1u);
  EXPECT_EQ(list->find_exact("seeing")->projector->path, path(projector.digest));
}

TEST_P(Records, AChangedMissingOrDamagedBlobMakesItsModelUnusable) {
  folder_.put("models/readme", "no model");
  auto file = weights("a");
  ASSERT_OK(catalog_->put(version("chat", {file})));
  EXPECT_EQ(problem_of("chat"), "");
  auto bytes = *files_->read(path(file.digest), 1 << 20);
  ASSERT_OK(files_->write_atomic(path(file.digest), bytes, 0600));  // the same, but who knows
  EXPECT_THAT(problem_of("chat"), HasSubstr("a.gguf was changed since it was taken in"));
  BlobCheck check{file.digest, blob_identity(*files_->stat(path(file.digest))), ""};
  ASSERT_OK(catalog_->record_check(check));
  EXPECT_EQ(problem_of("chat"), "");
  check.problem = "rotten";
  ASSERT_OK(catalog_->record_check(check));
  EXPECT_THAT(problem_of("chat"), HasSubstr("is damaged: rotten"));
  std::filesystem::remove(path(file.digest));
  EXPECT_THAT(problem_of("chat"), HasSubstr("a.gguf is missing"));
}

TEST_P(Records, MetadataThatWasNotKeptIsReadFromTheBlob) {
  folder_.put("models/readme", "no model");
  auto file = weights("a");
  ASSERT_OK(catalog_->put(version("chat", {file})));
  run("update catalog_contents set metadata = '{}'");
  EXPECT_EQ(merged()->find_exact("chat")->metadata->architecture, "llama");
}

TEST(Unchanged, FilesAreKnownBySizeTimeAndInode) {
  FileIdentity then{"/models/a.gguf", 5, sys::Wall(hours(1)), 7, 1};
  sys::FileInfo now{"/models/a.gguf", 5, sys::Wall(hours(1)), false, 7, 99};
  EXPECT_TRUE(check_unchanged(then, now));
  for (int what = 0; what < 3; ++what) {
    sys::FileInfo other = now;
    if (what == 0) other.size = 6;
    if (what == 1) other.modified += hours(1);
    if (what == 2) other.inode = 8;
    auto changed = check_unchanged(then, other);
    ASSERT_FALSE(changed);
    EXPECT_EQ(changed.error().code, ErrorCode::conflict);
    EXPECT_THAT(changed.error().message, HasSubstr("a.gguf was changed"));
  }
}

GgufMetadata full_metadata() {
  GgufMetadata m;
  m.version = 3;
  m.architecture = "llama";
  m.name = "N\"ame";
  m.type = "model";
  m.size_label = "1B";
  m.license = "mit";
  m.quantization = "Q4_K_M";
  m.chat_template = "{{ x }}\n";
  m.tokenizer = "gpt2";
  m.pooling = "mean";
  m.vocabulary = 1;
  m.parameters = UINT64_MAX;
  m.context_length = 3;
  m.embedding_length = 4;
  m.feed_forward_length = 5;
  m.blocks = 6;
  m.heads = 7;
  m.kv_heads = {8, 9};
  m.key_length = 10;
  m.value_length = 11;
  m.experts = 12;
  m.experts_used = 13;
  m.sliding_window = 14;
  m.sliding = {true, false};
  m.sliding_key_length = 15;
  m.sliding_value_length = 16;
  m.state_bytes = 17;
  m.tensor_count = 18;
  m.tensor_bytes = 19;
  m.repacked_bytes = 20;
  m.file_bytes = 21;
  m.places = {{1, 2}, {3}, 4, 5, true};
  m.split = {1, 2, 3};
  m.types = {{"Q4_K", 1, 2, 3}};
  return m;
}

TEST(MetadataJson, KeepsEveryMember) {
  // Written, read and written again, the texts are equal; and each member is told from its default.
  const std::string text = to_json(full_metadata());
  auto read = metadata_from_json(text);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(to_json(*read), text);
  EXPECT_EQ(read->places, full_metadata().places);
  EXPECT_EQ(read->parameters, UINT64_MAX);
  EXPECT_EQ(read->sliding, full_metadata().sliding);
  EXPECT_EQ(read->chat_template, "{{ x }}\n");
}

TEST(MetadataJson, AMemberThatWasAddedIsAddedThereToo) {
  // When this fails, GgufMetadata has another member: name it in gguf_json.cpp, count
  // kMetadataFormat up, and set it in full_metadata().
  EXPECT_EQ(sizeof(GgufMetadata), 616u);
  EXPECT_EQ(kMetadataFormat, 2);
}

TEST(MetadataJson, OtherTextsAreNotTaken) {
  const std::string good = to_json(full_metadata());
  auto changed = [&](std::string from, const std::string& to) {
    std::string text = good;
    auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{"), std::string("{}"),
        changed("\"format\":2", "\"format\":1"), changed("\"blocks\":6", "\"blocks\":-6"),
        changed("\"blocks\":6", "\"blocks\":5000000000"),
        changed("\"blocks\":6", "\"blocks\":\"6\""), changed("\"heads\":7,", ""),
        changed("[8,9]", "8"), changed("[8,9]", "[8,-9]"), changed("\"mean\"", "7"),
        changed("[[\"Q4_K\",1,2,3]]", "[[1]]"),
        changed("\"shared_output\":true", "\"shared_output\":1")}) {
    EXPECT_EQ(metadata_from_json(bad), nullptr) << bad;
  }
}

}  // namespace
}  // namespace corral::models::model_records_test

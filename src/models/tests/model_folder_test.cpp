#include "models/model_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "models/folder_walk.hpp"
#include "models/tests/gguf_writer.hpp"
#include "models/tests/memory_files.hpp"

namespace corral::models::model_folder_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names(const ModelList& list) {
  std::vector<std::string> out;
  for (const ModelEntry& entry : list.entries()) out.push_back(entry.name);
  return out;
}

class ModelFolderTest : public ::testing::Test {
 protected:
  void put(const std::string& path, std::string content = tiny_llama().file()) {
    files_.put(path, std::move(content), clock_.wall() - seconds(60));
  }
  void put_now(const std::string& path, std::string content) {
    files_.put(path, std::move(content), clock_.wall());
  }
  void put_part(const std::string& path, unsigned number, unsigned count) {
    GgufWriter writer = number == 0 ? tiny_llama() : GgufWriter();
    put(path, writer.number("split.no", number).number("split.count", count).file());
  }
  Snapshot scan() {
    auto result = folder_.scan();
    EXPECT_TRUE(result) << result.error().describe();
    return result ? *result : std::make_shared<const ModelList>();
  }

  MemoryFiles files_;
  sys::ManualClock clock_;
  ModelFolder folder_{files_, clock_, {"/models"}};
};

TEST_F(ModelFolderTest, FindsModelsInFoldersBelow) {
  put("/models/Llama-3.2-1B-Q4_K_M.gguf");
  put("/models/chat/small/Other.GGUF");
  put("/models/readme.txt", "no model");
  put("/models/download.gguf.part", "no model");
  put("/models/.hidden.gguf");
  put("/models/.cache/also-hidden.gguf");
  put("/models/.gguf");
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("Llama-3.2-1B-Q4_K_M", "chat/small/Other"));
  EXPECT_THAT(list->warnings(), IsEmpty());
  const ModelEntry& model = list->entries()[0];
  EXPECT_TRUE(model.usable());
  EXPECT_EQ(model.metadata->name, "Tiny");
  EXPECT_EQ(model.bytes, tiny_llama().file().size());
  EXPECT_EQ(model.modified, clock_.wall() - seconds(60));
  ASSERT_EQ(model.files.size(), 1u);
  EXPECT_EQ(model.files[0].path, "/models/Llama-3.2-1B-Q4_K_M.gguf");
}

TEST_F(ModelFolderTest, AMissingFolderIsAWarningAnUnreadableOneAnError) {
  EXPECT_THAT(scan()->warnings(), ElementsAre(HasSubstr("/models does not exist")));
  put("/models/a.gguf");
  files_.refuse("/models");
  const auto result = folder_.scan();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io);
}

TEST_F(ModelFolderTest, AnUnreadableFolderBelowIsAWarning) {
  put("/models/a.gguf");
  put("/models/closed/b.gguf");
  files_.refuse("/models/closed");
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("a"));
  EXPECT_THAT(list->warnings(), ElementsAre(HasSubstr("no right to list")));
}

TEST_F(ModelFolderTest, ReadsOnlyWhatChanged) {
  put("/models/a.gguf");
  put("/models/b.gguf", "rubbish that is long enough to be read");
  scan();
  EXPECT_EQ(files_.opens, 2);
  const auto second = scan();
  EXPECT_EQ(files_.opens, 2);
  EXPECT_TRUE(second->find("a")->usable());
  EXPECT_EQ(second->find("b")->state, ModelState::unusable);
  EXPECT_THAT(second->find("b")->problem->message, HasSubstr("not a GGUF file"));
  put("/models/a.gguf");  // the same bytes in a new file
  scan();
  EXPECT_EQ(files_.opens, 3);
}

TEST_F(ModelFolderTest, AFileBeingWrittenIsIncompleteUntilItSettles) {
  const std::string whole = tiny_llama().file();
  put_now("/models/a.gguf", whole.substr(0, 200));
  auto list = scan();
  EXPECT_EQ(list->find("a")->state, ModelState::incomplete);
  EXPECT_TRUE(list->has_incomplete());
  EXPECT_TRUE(list->find("a")->problem);

  clock_.advance(seconds(1));
  put_now("/models/a.gguf", whole);
  list = scan();
  EXPECT_TRUE(list->find("a")->usable());
  EXPECT_FALSE(list->has_incomplete());
}

TEST_F(ModelFolderTest, AFileThatStaysIncompleteIsDamaged) {
  put_now("/models/a.gguf", tiny_llama().file().substr(0, 200));
  EXPECT_EQ(scan()->find("a")->state, ModelState::incomplete);
  clock_.advance(milliseconds(1'999));
  EXPECT_EQ(scan()->find("a")->state, ModelState::incomplete);
  clock_.advance(milliseconds(1));
  EXPECT_EQ(scan()->find("a")->state, ModelState::unusable);
  EXPECT_THAT(scan()->find("a")->problem->message, HasSubstr("cut short"));
}

TEST_F(ModelFolderTest, AFileOfTheFutureIsNotIncompleteForEver) {
  files_.put("/models/a.gguf", "rubbish, and from next year", clock_.wall() + seconds(1'000'000));
  EXPECT_EQ(scan()->find("a")->state, ModelState::unusable);
}

TEST_F(ModelFolderTest, SplitFilesAreOneModel) {
  put_part("/models/big-00001-of-00002.gguf", 0, 2);
  put_part("/models/big-00002-of-00002.gguf", 1, 2);
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("big"));
  const ModelEntry& model = list->entries()[0];
  ASSERT_TRUE(model.usable()) << model.problem->describe();
  ASSERT_EQ(model.files.size(), 2u);
  EXPECT_EQ(model.files[0].path, "/models/big-00001-of-00002.gguf");
  EXPECT_EQ(model.bytes, model.files[0].size + model.files[1].size);
}

TEST_F(ModelFolderTest, MissingPartsAreNamed) {
  put_part("/models/big-00002-of-00003.gguf", 1, 3);
  auto list = scan();
  EXPECT_EQ(list->find("big")->state, ModelState::unusable);
  EXPECT_THAT(list->find("big")->problem->describe(),
              HasSubstr("2 of 3 parts are missing (number 1, 3)"));
  EXPECT_EQ(files_.opens, 0);
  put_part("/models/big-00001-of-00003.gguf", 0, 3);
  put_part("/models/big-00003-of-00003.gguf", 2, 3);
  EXPECT_TRUE(scan()->find("big")->usable());
  put_part("/models/wide-00001-of-99999.gguf", 0, 99'999);
  EXPECT_THAT(scan()->find("wide")->problem->message, HasSubstr("99998 of 99999"));
  EXPECT_THAT(scan()->find("wide")->problem->message, HasSubstr("2, 3, 4, 5, 6, ..."));
}

TEST_F(ModelFolderTest, NamesThatCollideAreToldApart) {
  put("/models/a.gguf");
  put("/models/a.GGUF");
  put_part("/models/a-00001-of-00001.gguf", 0, 1);
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("a", "a-2", "a-3"));
  EXPECT_THAT(list->warnings(), ElementsAre(HasSubstr("is called 'a-2'"), HasSubstr("'a-3'")));
  EXPECT_EQ(list->find("a")->files[0].path, "/models/a.GGUF");
}

TEST_F(ModelFolderTest, TheEarlierFolderKeepsTheName) {
  put("/models/a.gguf");
  put("/bundled/a.gguf");
  put("/bundled/b.gguf");
  ModelFolder both(files_, clock_, {"/models", "/bundled"});
  const auto list = both.scan();
  ASSERT_TRUE(list);
  EXPECT_THAT(names(**list), ElementsAre("a", "a-2", "b"));
  EXPECT_EQ((*list)->find("a")->files[0].path, "/models/a.gguf");
}

TEST_F(ModelFolderTest, ProjectorsGoWithTheirModels) {
  put("/models/Qwen2-VL-2B-Q4_K_M.gguf");
  put("/models/Qwen2-VL-2B-Q8_0.gguf");
  put("/models/text-only.gguf");
  put("/models/mmproj-Qwen2-VL-2B-f16.gguf");
  put("/models/seeing/model-IQ2_XXS.gguf");
  put("/models/seeing/mmproj-model-f16.gguf");
  put("/models/mmproj-F32.gguf");
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("Qwen2-VL-2B-Q4_K_M", "Qwen2-VL-2B-Q8_0",
                                        "seeing/model-IQ2_XXS", "text-only"));
  EXPECT_EQ(list->find("Qwen2-VL-2B-Q8_0")->projector->path, "/models/mmproj-Qwen2-VL-2B-f16.gguf");
  EXPECT_TRUE(list->find("Qwen2-VL-2B-Q4_K_M")->projector);
  EXPECT_FALSE(list->find("text-only")->projector);
  EXPECT_EQ(list->find("seeing/model-IQ2_XXS")->projector->path,
            "/models/seeing/mmproj-model-f16.gguf");
  EXPECT_THAT(list->warnings(), ElementsAre(HasSubstr("mmproj-F32.gguf belongs to no model")));
}

TEST_F(ModelFolderTest, ProjectorsAndAdaptersByOtherNamesAreNotOffered) {
  put("/models/vision.gguf", GgufWriter().string("general.architecture", "clip").file());
  put("/models/lora.gguf", GgufWriter()
                               .string("general.architecture", "llama")
                               .string("general.type", "adapter")
                               .file());
  put("/models/a.gguf");
  EXPECT_THAT(names(*scan()), ElementsAre("a"));
  EXPECT_THAT(names(*scan()), ElementsAre("a"));
  EXPECT_EQ(files_.opens, 3);
}

TEST_F(ModelFolderTest, FamilyIsTheNameWithoutQuantization) {
  EXPECT_EQ(family_of("Qwen2-VL-2B-Q4_K_M"), "qwen2-vl-2b");
  EXPECT_EQ(family_of("gemma-3-4b-it-UD-IQ2_XXS"), "gemma-3-4b-it");
  EXPECT_EQ(family_of("gemma-3-4b-it.mmproj-bf16"), "gemma-3-4b-it");
  EXPECT_EQ(family_of("mmproj-F16"), "");
  EXPECT_EQ(family_of("quill-q"), "quill-q");
}

TEST_F(ModelFolderTest, LinksThatLeadBackEnd) {
  put("/models/deep/a.gguf");
  files_.link_folder("/models/deep/again", "/models/deep");
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("deep/a"));
}

TEST_F(ModelFolderTest, FoldersTooDeepAreNotEntered) {
  put("/models/1/2/3/4/5/6/7/8/ok.gguf");
  put("/models/1/2/3/4/5/6/7/8/9/too-deep.gguf");
  EXPECT_THAT(names(*scan()), ElementsAre("1/2/3/4/5/6/7/8/ok"));
}

TEST_F(ModelFolderTest, NamesThatAreNoTextArePassedOver) {
  put("/models/bad\xff.gguf");
  put("/models/line\nbreak.gguf");
  put("/models/\xc3\xa9t\xc3\xa9.gguf");
  put("/models/\xff/a.gguf");
  put("/models/\xff.txt", "nobody's business");
  const auto list = scan();
  EXPECT_THAT(names(*list), ElementsAre("\xc3\xa9t\xc3\xa9"));
  EXPECT_THAT(list->warnings(),
              UnorderedElementsAre(HasSubstr("'bad?.gguf'"), HasSubstr("'line?break.gguf'"),
                                   HasSubstr("'?' is passed over")));
}

TEST_F(ModelFolderTest, FindsByAnyOfItsNames) {
  put("/models/Llama-1B.gguf");
  put("/models/llama-1b.gguf");
  put("/models/other.gguf");
  folder_.set_aliases({{"gpt-4o", "other"}, {"gone", "removed"}, {"other", "Llama-1B"}});
  const auto list = scan();
  EXPECT_EQ(list->find("Llama-1B")->name, "Llama-1B");
  EXPECT_EQ(list->find("llama-1b")->name, "llama-1b");
  EXPECT_EQ(list->find("LLAMA-1B:latest")->name, "Llama-1B");
  EXPECT_EQ(list->find("gpt-4o")->name, "other");
  EXPECT_EQ(list->find("GPT-4O:latest")->name, "other");
  EXPECT_EQ(list->find("other")->name, "other");
  EXPECT_EQ(list->find("gone"), nullptr);
  EXPECT_EQ(list->find("GONE"), nullptr);
  EXPECT_EQ(list->find(""), nullptr);
  EXPECT_EQ(list->find(":latest"), nullptr);
  EXPECT_THAT(list->warnings(), ElementsAre(HasSubstr("the alias 'other' of 'Llama-1B'")));
}

TEST_F(ModelFolderTest, OffersTheNearestNames) {
  put("/models/llama-3b.gguf");
  put("/models/qwen.gguf");
  folder_.set_aliases({{"gpt-4o", "qwen"}, {"gone", "removed"}});
  const auto list = scan();
  EXPECT_THAT(list->nearest_names("lama-3b"), ElementsAre("llama-3b"));
  EXPECT_THAT(list->nearest_names("lama-3b:latest"), ElementsAre("llama-3b"));
  EXPECT_THAT(list->nearest_names("gpt-4"), ElementsAre("gpt-4o"));
  EXPECT_THAT(list->nearest_names("gone"), IsEmpty());
}

TEST_F(ModelFolderTest, TellsWhatChanged) {
  put("/models/b.gguf");
  put("/models/c.gguf");
  put("/models/d.gguf");
  const auto before = scan();
  EXPECT_TRUE(changes_between(*before, *scan()).empty());
  put("/models/a.gguf");
  files_.erase("/models/b.gguf");
  put("/models/c.gguf");
  put("/models/e.gguf");
  const auto after = scan();
  const ModelChanges changes = changes_between(*before, *after);
  EXPECT_THAT(changes.added, ElementsAre("a", "e"));
  EXPECT_THAT(changes.removed, ElementsAre("b"));
  EXPECT_THAT(changes.changed, ElementsAre("c"));
  EXPECT_FALSE(changes.empty());
  EXPECT_EQ(before->entries().size(), 3u);  // the old list is as it was
  put("/models/mmproj-d.gguf");
  EXPECT_THAT(changes_between(*after, *scan()).changed, ElementsAre("d"));
}

TEST_F(ModelFolderTest, AFileThatVanishesWhileItIsReadIsAnError) {
  put("/models/a.gguf");
  std::vector<std::string> warnings;
  const auto found = walk_models(files_, "/models", warnings);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  files_.erase("/models/a.gguf");
  const std::vector<sys::Path> paths{(*found)[0].identity.path};
  const auto metadata = read_gguf_set(files_, paths);
  ASSERT_FALSE(metadata);
  EXPECT_EQ(metadata.error().code, ErrorCode::not_found);
}

// Once over a real disk, with real links.
TEST(ModelFolderOnDisk, FindsModelsAndFollowsLinks) {
  std::string pattern = ::testing::TempDir() + "/models-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path root = pattern;
  std::filesystem::create_directories(root / "models" / "sub");
  std::ofstream(root / "elsewhere.gguf", std::ios::binary) << tiny_llama().file();
  std::filesystem::create_symlink(root / "elsewhere.gguf", root / "models" / "linked.gguf");
  std::filesystem::create_symlink(root / "models", root / "models" / "sub" / "up");
  std::filesystem::create_symlink(root / "nowhere.gguf", root / "models" / "broken.gguf");
  const auto files = sys::real_files();
  const sys::RealClock clock;
  ModelFolder folder(*files, clock, {root / "models"});
  const auto list = folder.scan();
  ASSERT_TRUE(list) << list.error().describe();
  EXPECT_THAT(names(**list), ElementsAre("linked"));
  const ModelEntry* linked = (*list)->find("linked");
  ASSERT_NE(linked, nullptr);
  EXPECT_TRUE(linked->usable());
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace corral::models::model_folder_test

// Folders that want a token, what is given out to others, all that a folder has, and what is known
// of models that might be fetched.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "models/candidates.hpp"
#include "models/share_index.hpp"
#include "models/sources/folder_entry.hpp"
#include "models/sources/sources.hpp"
#include "models/tests/fetch_fixture.hpp"

namespace corral::models::sharing_test {
namespace {

TEST(FolderEntries, AreTakenApart) {
  auto plain = parse_folder_entry("lab=http://lab:8585/a/b/");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->name, "lab");
  EXPECT_EQ(plain->url, "http://lab:8585/a/b");
  EXPECT_EQ(plain->token_file, "");
  auto full = parse_folder_entry("lab=https://lab  token_file=/run/a word");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->url, "https://lab:443");
  EXPECT_EQ(full->token_file, "/run/a word");
  for (const char* bad :
       {"", "lab", "=http://x", "a b=http://x", "lab=", "lab=http://user:word@host",
        "lab=http://x token=secret", "lab=http://x token_file=", "lab=http://x token_file=key",
        "lab=http://x anything"}) {
    auto wrong = parse_folder_entry(bad);
    ASSERT_FALSE(wrong) << bad;
    EXPECT_EQ(wrong.error().code, ErrorCode::invalid_argument);
    EXPECT_FALSE(wrong.error().describe().contains("secret"));
    EXPECT_FALSE(wrong.error().describe().contains("word"));
  }
}

TEST(FolderEntries, TheTokenIsReadFromItsFile) {
  sys::TempFolder folder;
  auto files = sys::real_files();
  auto read = [&](std::string_view content) {
    folder.put(folder / "key", content);
    return read_token(*files, {"lab", "http://x", (folder / "key").string()});
  };
  EXPECT_EQ(*read_token(*files, {"lab", "http://x", ""}), "");
  EXPECT_EQ(*read("the-key\n"), "the-key");
  for (const char* bad : {"", "\n", "two words", "line\nline"}) {
    auto wrong = read(bad);
    ASSERT_FALSE(wrong) << bad;
    EXPECT_FALSE(wrong.error().describe().contains("words"));
  }
  auto none = read_token(*files, {"lab", "http://x", (folder / "none").string()});
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.contains("'lab'"));
}

std::shared_ptr<const GgufMetadata> metadata(std::uint64_t parameters) {
  auto made = std::make_shared<GgufMetadata>();
  made->architecture = "llama";
  made->quantization = "Q4_K_M";
  made->parameters = parameters;
  made->context_length = 4096;
  made->license = "mit";
  return made;
}

CatalogModel in_catalog() {
  CatalogModel model;
  model.name = "llama3.2:3b";
  model.revision = "r1";
  model.license = "apache-2.0";
  model.metadata = metadata(3'200'000'000);
  StoredFile file;
  file.file = {FileRole::weights, "model.gguf", "sha256:" + std::string(64, 'a'), 12};
  model.files = {file};
  return model;
}

TEST(ShareIndex, IsWhatFoldersHave) {
  auto shared = shared_model(in_catalog());
  ASSERT_TRUE(shared);
  auto document = *json::parse(share_index({*shared}));
  EXPECT_EQ(document.at("corral_index"), 1);
  const auto& model = document.at("models").at(0);
  EXPECT_EQ(model.at("name"), "llama3.2:3b");
  EXPECT_EQ(model.at("revision"), "r1");
  EXPECT_EQ(model.at("license"), "apache-2.0");
  EXPECT_EQ(model.at("architecture"), "llama");
  EXPECT_EQ(model.at("parameters"), "3.2B");
  EXPECT_EQ(model.at("context_length"), 4096);
  const auto& file = model.at("files").at(0);
  EXPECT_EQ(file.at("path").as_string(), "blobs/sha256-" + std::string(64, 'a') + "/model.gguf");
  EXPECT_EQ(file.at("sha256").as_string(), std::string(64, 'a'));
  EXPECT_EQ(file.at("size"), 12);
  EXPECT_EQ(file.at("role"), "weights");
}

TEST(ShareIndex, SmallModelsAndUnknownOnes) {
  auto model = in_catalog();
  auto parameters = [&](std::uint64_t count) {
    model.metadata = metadata(count);
    auto document = *json::parse(share_index({*shared_model(model)}));
    return std::string(document.at("models").at(0).at("parameters").as_string());
  };
  EXPECT_EQ(parameters(2'700'000), "2.7M");
  EXPECT_EQ(parameters(64'000), "64K");
  model.metadata = nullptr;
  model.revision.clear();
  model.license.clear();
  auto document = *json::parse(share_index({*shared_model(model)}));
  EXPECT_FALSE(document.at("models").at(0).as_object().contains("parameters"));
}

TEST(ShareIndex, WhatIsDamagedOrOddlyNamedIsNotGivenOut) {
  auto damaged = in_catalog();
  damaged.files[0].problem = "other bytes";
  EXPECT_FALSE(shared_model(damaged));
  auto odd = in_catalog();
  odd.files[0].file.name = "../x.gguf";
  EXPECT_FALSE(shared_model(odd));
}

TEST(ShareIndex, OfTheModelsFolderOnceItsChecksumsAreKnown) {
  ModelEntry entry;
  entry.name = "tiny";
  entry.state = ModelState::usable;
  entry.metadata = metadata(1);
  entry.files = {{.path = "/m/tiny.gguf", .size = 5}};
  entry.projector = FileIdentity{.path = "/m/mmproj-tiny.gguf", .size = 3};
  std::map<std::string, std::string> digests;
  EXPECT_FALSE(shared_model(entry, digests));
  digests["/m/tiny.gguf"] = "sha256:" + std::string(64, 'b');
  auto shared = shared_model(entry, digests);
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->files.size(), 1u);
  EXPECT_EQ(shared->license, "mit");
  digests["/m/mmproj-tiny.gguf"] = "sha256:" + std::string(64, 'c');
  EXPECT_EQ(shared_model(entry, digests)->files.back().role, FileRole::projector);
  entry.state = ModelState::unusable;
  EXPECT_FALSE(shared_model(entry, digests));
}

TEST(Candidates, ParametersAreRead) {
  EXPECT_EQ(parse_parameters("3.2B"), 3'200'000'000u);
  EXPECT_EQ(parse_parameters(" 360 M"), 360'000'000u);
  EXPECT_EQ(parse_parameters("64k"), 64'000u);
  EXPECT_EQ(parse_parameters("1t"), 1'000'000'000'000u);
  EXPECT_EQ(parse_parameters("1234"), 1234u);
  for (const char* none : {"", "many", "-1B", "nan", "inf", "1e300B"}) {
    EXPECT_EQ(parse_parameters(none), 0u) << none;
  }
}

TEST(Candidates, AreMadeOfWhatIsKnown) {
  RemoteInfo info;
  info.reference = "hf:o/r";
  EXPECT_FALSE(candidate_of(info));
  info.parameters = "8B";
  info.downloads = 7;
  auto guessed = candidate_of(info);
  ASSERT_TRUE(guessed);
  EXPECT_EQ(guessed->quantization, "Q4_K_M");
  EXPECT_GT(guessed->bytes, 4'000'000'000u);
  EXPECT_LT(guessed->bytes, 6'000'000'000u);
  EXPECT_EQ(guessed->downloads, 7u);
  info.bytes = 9;
  info.quantization = "Q8_0";
  EXPECT_EQ(candidate_of(info)->bytes, 9u);
  EXPECT_EQ(candidate_of(info)->quantization, "Q8_0");
  ModelEntry entry;
  EXPECT_FALSE(candidate_of(entry));
  entry.name = "tiny";
  entry.state = ModelState::usable;
  entry.metadata = metadata(5);
  EXPECT_EQ(candidate_of(entry)->parameters, 5u);
}

class FolderTest : public FetchTest {
 protected:
  template <class T>
  T with_source(net::Task<T> (*work)(Source&), std::string_view entry) {
    sources_.folders = {std::string(entry)};
    auto made = Sources::make(sources_, 1s, *files_);
    EXPECT_TRUE(made);
    auto source = (*made)->named("lab")->source;
    return loops_.run(shard_, work(*source));
  }
  static net::Task<Result<RemoteListing>> all(Source& source) { return source.all(); }
  static net::Task<Result<void>> probe(Source& source) { return source.probe(); }
  static constexpr const char* kIndex =
      R"({"corral_index": 1, "models": [
          {"name": "good", "files": [{"path": "a/m.gguf", "size": 4}]},
          {"name": "climbs", "files": [{"path": "../m.gguf"}]},
          {"name": "odd", "files": [{"path": "m.gguf", "role": "king"}]},
          {"name": "none", "files": []}]})";
};

TEST_F(FolderTest, AllThatItHasIsListedAndWhatIsWrongIsSaid) {
  server_.put("/lab/index.json", kIndex);
  auto listing = with_source(&FolderTest::all, "lab=" + server_.url("/lab"));
  ASSERT_TRUE(listing) << listing.error().message;
  ASSERT_EQ(listing->models.size(), 1u);
  EXPECT_EQ(listing->models[0].origin, "lab/good");
  ASSERT_EQ(listing->refused.size(), 3u);
  EXPECT_EQ(listing->refused[0].param, "climbs");
}

TEST_F(FolderTest, AnotherCorralsFolderIsFoundBelowItsAddress) {
  server_.put("/share/v1/index.json", kIndex);
  auto listing = with_source(&FolderTest::all, "lab=" + server_.url(""));
  ASSERT_TRUE(listing) << listing.error().message;
  EXPECT_EQ(listing->models[0].files[0].url, server_.url("/share/v1/a/m.gguf"));
  EXPECT_TRUE(with_source(&FolderTest::probe, "lab=" + server_.url("")));
  auto below = with_source(&FolderTest::probe, "lab=" + server_.url("/x"));
  ASSERT_FALSE(below);
  EXPECT_TRUE(below.error().hint_text.contains("models.share"));
}

TEST_F(FolderTest, TheTokenGoesToItsOrigin) {
  folder_.put(folder_ / "key", "the-key");
  server_.put("/lab/index.json", kIndex);
  auto entry = fmt::format("lab={} token_file={}", server_.url("/lab"), (folder_ / "key").string());
  ASSERT_TRUE(with_source(&FolderTest::probe, entry));
  EXPECT_EQ(server_.tokens().back(), "Bearer the-key");
  server_.set({.status = 401});
  auto refused = with_source(&FolderTest::probe, entry);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().hint_text.contains("does not take the token"));
  auto without = with_source(&FolderTest::probe, "lab=" + server_.url("/lab"));
  EXPECT_TRUE(without.error().hint_text.contains("token_file"));
}

TEST_F(FolderTest, SourcesAreKnownByName) {
  auto made = Sources::make(sources_, 1s, *files_);
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->all().size(), 3u);
  EXPECT_EQ((*made)->named("hf")->kind, "hub");
  auto none = (*made)->named("nowhere");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_TRUE(none.error().hint_text.contains("ollama"));
  auto hub = (*made)->named("hf")->source;
  EXPECT_EQ(loops_.run(shard_, hub->all()).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace corral::models::sharing_test

// Which models suit this machine, as the admin surface says it.
#include "api/admin/recommendations.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace corral::api::admin::recommendations_test {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

models::ModelEntry here(const std::string& name, std::uint64_t bytes,
                        const std::string& origin = "") {
  auto metadata = std::make_shared<models::GgufMetadata>();
  metadata->architecture = "llama";
  metadata->quantization = "Q8_0";
  metadata->parameters = bytes;
  metadata->tensor_bytes = metadata->file_bytes = bytes;
  metadata->context_length = 4096;
  metadata->blocks = 2;
  metadata->kv_heads = {2, 2};
  metadata->key_length = metadata->value_length = 64;
  metadata->embedding_length = 256;
  metadata->feed_forward_length = 512;
  metadata->vocabulary = 1000;
  models::ModelEntry entry;
  entry.name = name;
  entry.bytes = bytes;
  entry.state = models::ModelState::usable;
  entry.metadata = metadata;
  entry.origin = origin;
  return entry;
}

models::RemoteInfo there(const std::string& reference, const std::string& parameters,
                         std::uint64_t bytes = 0) {
  models::RemoteInfo info;
  info.reference = reference;
  info.parameters = parameters;
  if (bytes > 0) info.bytes = bytes;
  return info;
}

class RecommendationsTest : public testing::Test {
 protected:
  RecommendationsTest() {
    outlook_.machine = {.cores = 4, .memory = 8 * kGiB};
    outlook_.models = std::make_shared<const models::ModelList>(
        std::vector{here("mine", 100 << 20), here("fetched", 50 << 20, "lab/one")},
        models::Aliases{}, std::vector<std::string>{});
    found_.models = {there("lab/one", "50M", 50 << 20), there("lab/two", "3B"),
                     there("hf:o/huge", "405B"), there("hf:o/unknown", "")};
  }
  std::string names(const RecommendWish& wish) {
    std::string text;
    auto document = recommendations(found_, outlook_, wish);
    for (const auto& each : document.at("models").as_array()) {
      text += std::string(each.at("name").as_string()) + " ";
    }
    return text;
  }

  scheduler::Outlook outlook_;
  models::FoundModels found_;
};

TEST_F(RecommendationsTest, TheBestComeFirstAndWhatIsHereIsNotTwice) {
  found_.models[1].gated = true;
  found_.models[1].license = "mit";
  Error silent = fail(ErrorCode::unavailable, "nobody answers");
  silent.param = "hf";
  found_.problems.push_back(silent);
  auto document = recommendations(found_, outlook_, {});
  EXPECT_EQ(names({}), "lab/two mine fetched ");
  EXPECT_EQ(document.at("models").at(0).at("here"), false);
  EXPECT_EQ(document.at("models").at(0).at("gated"), true);
  EXPECT_EQ(document.at("models").at(0).at("license"), "mit");
  EXPECT_EQ(document.at("models").at(1).at("here"), true);
  EXPECT_EQ(document.at("fitting"), 3);
  EXPECT_EQ(document.at("looked_at"), 5);
  EXPECT_EQ(document.at("of_unknown_size"), 1);
  EXPECT_EQ(document.at("left_out").at(0).at("name"), "hf:o/huge");
  EXPECT_EQ(document.at("warnings").at(0), "hf: nobody answers");
}

TEST_F(RecommendationsTest, WordsAndLimitsHold) {
  EXPECT_EQ(names({.words = "MI", .here = true, .most = 20}), "lab/two mine ")
      << "what is here from a source is not offered from there";
  EXPECT_EQ(names({.words = "", .here = false, .most = 20}), "lab/two lab/one ");
  EXPECT_EQ(names({.words = "", .here = true, .most = 1}), "lab/two ");
}

TEST_F(RecommendationsTest, NothingHereIsNoHarm) {
  outlook_.models = nullptr;
  found_.models.clear();
  auto document = recommendations(found_, outlook_, {});
  EXPECT_TRUE(document.at("models").as_array().empty());
  EXPECT_TRUE(document.at("left_out").as_array().empty());
}

TEST_F(RecommendationsTest, OneModelsFit) {
  EXPECT_TRUE(describe_fit(std::nullopt, outlook_).is_null());
  auto fits = describe_fit(models::candidate_of(there("x", "1B")), outlook_);
  EXPECT_EQ(fits.at("fits"), true);
  EXPECT_FALSE(fits.at("why").as_string().empty());
  auto not_so = describe_fit(models::candidate_of(there("x", "405B")), outlook_);
  EXPECT_EQ(not_so.at("fits"), false);
  EXPECT_FALSE(not_so.at("hint").as_string().empty());
}

}  // namespace
}  // namespace corral::api::admin::recommendations_test

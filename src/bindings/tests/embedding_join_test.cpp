#include "bindings/openai/embedding_join.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <boost/json.hpp>

#include <random>

#include "base/json.hpp"

namespace corral::bindings::openai::embedding_join_test {
namespace {

using Views = std::vector<std::string_view>;

TEST(EmbeddingInputs, FindsTextsAndTokens) {
  auto one = embedding_inputs(R"({"model":"m","input":"a \"b\""})");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->inputs, (Views{R"("a \"b\"")"}));
  EXPECT_EQ(one->form, InputForm::text);
  EXPECT_EQ(one->bytes, 9u);
  auto several = embedding_inputs(R"({"input" : [ "a" , "b, \" ]", "c"] })");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->inputs, (Views{R"("a")", R"("b, \" ]")", R"("c")"}));
  auto tokens = embedding_inputs(R"({"input":[1, 2,3]})");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->form, InputForm::tokens);
  EXPECT_EQ(tokens->inputs, (Views{"[1, 2,3]"}));
  auto lists = embedding_inputs(R"({"input":[[1],[2,3] ]})");
  ASSERT_TRUE(lists);
  EXPECT_EQ(lists->form, InputForm::tokens);
  EXPECT_EQ(lists->inputs, (Views{"[1]", "[2,3]"}));
}

TEST(EmbeddingInputs, LeavesTheRestToTheBackend) {
  for (std::string_view body :
       {R"({"model":"m"})", R"({"input":null})", R"({"input":7})", R"({"input":[]})",
        R"({"input":{"a":1}})", R"({"input":[{"text":"a"}]})", R"({"input":["a",1]})",
        R"({"input":["a",[1]]})", R"({"input":[null]})", R"({"input":[-1]})", R"({"input":[true]})",
        R"({"input":["a")", "rubbish"}) {
    EXPECT_FALSE(embedding_inputs(body)) << body;
  }
}

TEST(JoinEmbeddings, PutsAllInputsIntoOneBody) {
  Views inputs{R"("a")", R"("b\n")"};
  auto joint = join_embeddings(R"({"model":"m","input":"a","dimensions":3})", inputs);
  ASSERT_TRUE(joint);
  EXPECT_EQ(*joint, R"({"model":"m","input":["a","b\n"],"dimensions":3})");
  Views tokens{"[1,2]", "[3]"};
  EXPECT_EQ(*join_embeddings(R"({"input":[1,2]})", tokens), R"({"input":[[1,2],[3]]})");
}

std::string element(int index, std::string_view text) {
  return R"({"object":"embedding","embedding":)" + std::string(text) + R"(,"index":)" +
         std::to_string(index) + "}";
}

TEST(SplitEmbeddings, GivesEachItsOwnInOrderAndNumbersThemAnew) {
  std::string document = R"({"model":"m","data":[)" + element(2, "[3e-1]") + ", " +
                         element(0, "[0.10]") + "," + element(1, R"("AAA=")") +
                         R"(],"usage":{"prompt_tokens":10,"total_tokens":10},"object":"list"})";
  std::vector<EmbeddingShare> shares{{1, 3}, {2, 7}};
  auto answers = split_embeddings(document, shares);
  ASSERT_TRUE(answers) << answers.error().describe();
  ASSERT_EQ(answers->size(), 2u);
  EXPECT_EQ((*answers)[0].document,
            R"({"model":"m","data":[)" + element(0, "[0.10]") +
                R"(],"usage":{"prompt_tokens":3,"total_tokens":3},"object":"list"})");
  EXPECT_EQ((*answers)[1].document,
            R"({"model":"m","data":[)" + element(0, R"("AAA=")") + "," + element(1, "[3e-1]") +
                R"(],"usage":{"prompt_tokens":7,"total_tokens":7},"object":"list"})");
  EXPECT_EQ((*answers)[1].prompt_tokens, 7u);
}

TEST(SplitEmbeddings, UsageMayStandBeforeTheDataOrNotAtAll) {
  std::vector<EmbeddingShare> shares{{1, 1}, {1, 1}};
  std::string data = R"("data":[)" + element(0, "[1]") + "," + element(1, "[2]") + "]";
  auto before =
      split_embeddings(R"({"usage":{"prompt_tokens":4,"total_tokens":4},)" + data + "}", shares);
  ASSERT_TRUE(before);
  EXPECT_EQ((*before)[1].document,
            R"({"usage":{"prompt_tokens":2,"total_tokens":2},"data":[)" + element(0, "[2]") + "]}");
  auto none = split_embeddings("{" + data + "}", shares);
  ASSERT_TRUE(none);
  EXPECT_EQ((*none)[0].document, R"({"data":[)" + element(0, "[1]") + "]}");
  EXPECT_EQ((*none)[0].prompt_tokens, 0u);
}

TEST(SplitEmbeddings, RefusesAnAnswerThatIsNotWhole) {
  std::vector<EmbeddingShare> shares{{1, 1}, {1, 1}};
  auto data = [](const std::string& elements) { return R"({"data":[)" + elements + "]}"; };
  for (const auto& document :
       {std::string("rubbish"), std::string("{}"), std::string(R"({"data":null})"),
        std::string(R"({"data":{"0":1}})"), data(""), data(element(0, "[1]")),
        data(element(0, "[1]") + "," + element(0, "[2]")),
        data(element(0, "[1]") + "," + element(2, "[2]")),
        data(element(0, "[1]") + "," + element(-1, "[2]")),
        data(element(0, "[1]") + "," + element(1, "[2]") + "," + element(2, "[3]")),
        data(element(0, "[1]") + R"(,{"embedding":[2]})"),
        data(element(0, "[1]") + R"(,{"index":"1"})"), data(element(0, "[1]") + ",7")}) {
    auto answers = split_embeddings(document, shares);
    ASSERT_FALSE(answers) << document;
    EXPECT_EQ(answers.error().code, ErrorCode::upstream);
  }
}

// Whatever is joined comes back to who asked, and the tokens add up.
TEST(SplitEmbeddings, GivesBackWhatWasJoined) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<EmbeddingShare> shares;
    std::vector<std::string> texts;
    for (unsigned i = 0, count = 1 + random() % 12; i < count; ++i) {
      shares.push_back({1 + random() % 4, random() % 50});
      for (std::size_t k = 0; k < shares.back().inputs; ++k) {
        texts.push_back("[" + std::to_string(random()) + "]");
      }
    }
    std::vector<std::string> elements;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      elements.push_back(element(static_cast<int>(i), texts[i]));
    }
    std::ranges::shuffle(elements, random);
    std::string data;
    for (const auto& each : elements) data += (data.empty() ? "" : ",") + each;
    auto tokens = std::to_string(random() % 1000);
    auto answers = split_embeddings(R"({"data":[)" + data + R"(],"usage":{"prompt_tokens":)" +
                                        tokens + R"(,"total_tokens":)" + tokens + "}}",
                                    shares);
    ASSERT_TRUE(answers);
    std::size_t next = 0;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      auto parsed = json::parse((*answers)[i].document);
      ASSERT_TRUE(parsed);
      const auto& own = parsed->at("data").as_array();
      ASSERT_EQ(own.size(), shares[i].inputs);
      for (std::size_t k = 0; k < own.size(); ++k, ++next) {
        EXPECT_EQ(own[k].at("index").as_int64(), static_cast<std::int64_t>(k));
        EXPECT_EQ(boost::json::serialize(own[k].at("embedding")), texts[next]);
      }
      EXPECT_EQ(parsed->at("usage").at("prompt_tokens").to_number<std::uint64_t>(),
                (*answers)[i].prompt_tokens);
      sum += (*answers)[i].prompt_tokens;
    }
    EXPECT_EQ(std::to_string(sum), tokens);
  }
}

}  // namespace
}  // namespace corral::bindings::openai::embedding_join_test

// Every combination of edits on bodies with and without each key, against the document one expects.
#include "bindings/openai/rewrite.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/json.hpp"
#include "bindings/openai/peek.hpp"

namespace corral::bindings::openai::rewrite_test {
namespace {

namespace bj = boost::json;

std::string rewritten(std::string_view body, const std::vector<BodyEdit>& edits) {
  auto made = RewrittenBody::make(body, edits);
  EXPECT_TRUE(made) << body;
  std::string out;
  for (auto part : made->parts()) out += part;
  return out;
}

bj::object parsed(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value) << text;
  return value && value->is_object() ? value->as_object() : bj::object{};
}

// A body with the chosen keys in the chosen order.
std::string body_of(unsigned keys, bool model_first, std::string_view space) {
  std::vector<std::string> fields;
  std::string model = R"("model":"public")";
  if (model_first) fields.push_back(model);
  fields.push_back(R"("messages":[{"role":"user","content":"the \"model\": {}"}])");
  if ((keys & 1) != 0) fields.push_back(R"("stream":false)");
  if ((keys & 2) != 0) fields.push_back(R"("stream_options":{"include_usage":false,"x":1})");
  if ((keys & 4) != 0) fields.push_back(R"("return_progress":null)");
  if (!model_first) fields.push_back(model);
  std::string out(space);
  out += '{';
  for (std::size_t i = 0; i < fields.size(); ++i) {
    out.append(i == 0 ? "" : ",").append(space).append(fields[i]).append(space);
  }
  return out + "}";
}

TEST(Rewrite, EveryCombinationGivesTheDocumentExpected) {
  for (unsigned keys = 0; keys < 8; ++keys) {
    for (unsigned wish = 0; wish < 16; ++wish) {
      for (bool model_first : {false, true}) {
        for (std::string_view space : {"", " \r\n\t"}) {
          std::string body = body_of(keys, model_first, space);
          ASSERT_TRUE(peek(inference::Operation::chat, body)) << body;
          bj::object expected = parsed(body);
          std::vector<BodyEdit> edits;
          if ((wish & 1) != 0) {
            edits.push_back({"model", R"("back\"end")"});
            expected["model"] = "back\"end";
          }
          if ((wish & 2) != 0) {
            edits.push_back({"stream", "true"});
            expected["stream"] = true;
          }
          if ((wish & 4) != 0) {
            edits.push_back({"stream_options", R"({"include_usage":true})"});
            expected["stream_options"] = bj::object{{"include_usage", true}};
          }
          if ((wish & 8) != 0) {
            edits.push_back({"return_progress", "true"});
            expected["return_progress"] = true;
          }
          std::string text = rewritten(body, edits);
          EXPECT_EQ(parsed(text), expected) << text;
          for (std::string_view key :
               {"\"model\"", "\"stream\"", "\"stream_options\"", "\"return_progress\""}) {
            EXPECT_EQ(text.find(key), text.rfind(key)) << "twice in " << text;
          }
        }
      }
    }
  }
}

TEST(Rewrite, WithoutEditsNothingIsCopied) {
  std::string body = body_of(7, true, " ");
  auto same = RewrittenBody::make(body, {});
  ASSERT_TRUE(same);
  ASSERT_EQ(same->parts().size(), 1u);
  EXPECT_EQ(same->parts()[0].data(), body.data());
  EXPECT_EQ(same->parts()[0], body);
}

TEST(Rewrite, DefaultsStandBackBehindWhatIsSet) {
  std::vector<BodyEdit> edits{
      {"temperature", "0.5", true}, {"max_tokens", "64", true}, {"top_p", "0.9", true}};
  EXPECT_EQ(rewritten(R"({"temperature":0,"max_tokens": null })", edits),
            R"({"top_p":0.9,"temperature":0,"max_tokens": 64 })");
}

TEST(Rewrite, AnEmptyObjectGetsNoStrayComma) {
  EXPECT_EQ(rewritten("{ }", {{"model", "\"m\""}, {"stream", "true"}}),
            R"({"model":"m","stream":true })");
}

TEST(Rewrite, TheResultMayBeMoved) {
  auto made = RewrittenBody::make(R"({"model":"public"})", std::vector<BodyEdit>{{"model", "1"}});
  ASSERT_TRUE(made);
  RewrittenBody moved = std::move(*made);
  EXPECT_EQ(moved.parts(), (std::vector<std::string_view>{R"({"model":)", "1", "}"}));
}

TEST(Rewrite, WhatIsNoObjectIsAnError) {
  auto refused = RewrittenBody::make("[1]", std::vector<BodyEdit>{{"model", "1"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
}

}  // namespace
}  // namespace corral::bindings::openai::rewrite_test

// Every combination of edits on bodies with and without each key, against the document one expects.
#include "bindings/openai/rewrite.hpp"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/json.hpp"
#include "bindings/openai/peek.hpp"

namespace corral::bindings::openai {
namespace {

namespace bj = boost::json;

std::string joined(const RewrittenBody& body) {
  std::string out;
  for (auto part : body.parts()) out += part;
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
          auto request = peek(inference::Operation::chat, body);
          ASSERT_TRUE(request) << body;
          BodyEdits edits;
          if ((wish & 1) != 0) edits.model = "back\"end";
          edits.force_stream = (wish & 2) != 0;
          edits.include_usage = (wish & 4) != 0;
          edits.return_progress = (wish & 8) != 0;

          bj::object expected = parsed(body);
          if ((wish & 1) != 0) expected["model"] = "back\"end";
          if ((wish & 2) != 0) expected["stream"] = true;
          if ((wish & 4) != 0) expected["stream_options"] = bj::object{{"include_usage", true}};
          if ((wish & 8) != 0) expected["return_progress"] = true;

          std::string text = joined(RewrittenBody(*request, edits));
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
  auto request = peek(inference::Operation::chat, body);
  ASSERT_TRUE(request);
  RewrittenBody same(*request, {});
  ASSERT_EQ(same.parts().size(), 1u);
  EXPECT_EQ(same.parts()[0].data(), body.data());
  EXPECT_EQ(same.parts()[0], body);
}

TEST(Rewrite, LeavesWhatIsAsWished) {
  std::string body = R"({"model":"m","messages":[{"role":"user"}],"stream":true,)"
                     R"("stream_options":{"include_usage":true,"x":1}})";
  auto request = peek(inference::Operation::chat, body);
  ASSERT_TRUE(request);
  BodyEdits edits;
  edits.force_stream = true;
  edits.include_usage = true;
  EXPECT_EQ(joined(RewrittenBody(*request, edits)), body);
}

TEST(Rewrite, AnEmptyObjectGetsNoStrayComma) {
  inference::Request request;
  request.body = "{ }";
  request.spans.insert_at = 1;
  request.spans.empty_object = true;
  BodyEdits edits;
  edits.model = "m";
  edits.force_stream = true;
  edits.return_progress = true;
  EXPECT_EQ(parsed(joined(RewrittenBody(request, edits))),
            (bj::object{{"model", "m"}, {"stream", true}, {"return_progress", true}}));
}

TEST(Rewrite, NewNamesAreEscaped) {
  std::string body = body_of(0, true, "");
  auto request = peek(inference::Operation::chat, body);
  ASSERT_TRUE(request);
  BodyEdits edits;
  edits.model = "a\"b\\c\n\xff";
  EXPECT_EQ(parsed(joined(RewrittenBody(*request, edits)))["model"], "a\"b\\c\n\xEF\xBF\xBD");
}

}  // namespace
}  // namespace corral::bindings::openai

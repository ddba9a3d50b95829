#include "bindings/openai/body_fields.hpp"

#include <gtest/gtest.h>
#include <string>

namespace corral::bindings::openai::body_fields_test {
namespace {

constexpr std::string_view kKeys[] = {"model", "stream", "stream_options", "messages"};

BodyFields find(std::string_view body) {
  auto found = find_fields(body, kKeys);
  EXPECT_TRUE(found) << body;
  return found ? *found : BodyFields{};
}

std::string_view at(std::string_view body, const FieldPlace& place) {
  return body.substr(place.begin, place.size);
}

TEST(BodyFields, NameTheRightBytes) {
  std::string body =
      " \t\r\n{ \"a\" : {\"model\":\"inner\",\"stream\":1} ,\n \"mod\\u0065l\"\t:\r\n  \"x\\\"y}\" "
      " \n,\"messages\" : [ {\"role\":\"user\"}, \"\\\"model\\\":1\" ]\t,"
      "\"stream\" : true\t\t, \"stream_options\" : { \"x\":{\"y\":[1,2]}} } \n";
  BodyFields found = find(body);
  ASSERT_EQ(found.places.size(), 4u);
  EXPECT_EQ(at(body, found.places[0]), R"("x\"y}")");
  EXPECT_EQ(at(body, found.places[1]), "true");
  EXPECT_EQ(at(body, found.places[2]), R"({ "x":{"y":[1,2]}})");
  EXPECT_EQ(at(body, found.places[3]), R"([ {"role":"user"}, "\"model\":1" ])");
  EXPECT_EQ(found.insert_at, 5u);
  EXPECT_FALSE(found.empty_object);
}

TEST(BodyFields, AbsentOnesAreAbsent) {
  BodyFields found = find(R"({"x":{"model":1}})");
  for (const auto& place : found.places) EXPECT_FALSE(place.present());
  EXPECT_FALSE(found.empty_object);
  EXPECT_TRUE(find("{ }").empty_object);
}

TEST(BodyFields, NullAndTheLastValueEndWhereTheyEnd) {
  std::string body = R"({"stream_options": null  ,"stream":false})";
  BodyFields found = find(body);
  EXPECT_EQ(at(body, found.places[2]), "null");
  EXPECT_EQ(at(body, found.places[1]), "false");
}

TEST(BodyFields, LongBodiesAndSmallOnesAfterThem) {
  std::string body = R"({"model":"mod\u00e8le-日本","input":")" + std::string(3 << 20, 'x') + "\"}";
  EXPECT_EQ(at(body, find(body).places[0]), R"("mod\u00e8le-日本")");
  EXPECT_EQ(at(R"({"stream":true})", find(R"({"stream":true})").places[1]), "true");
}

TEST(BodyFields, NothingBehindTheBodyIsRead) {
  std::string_view whole = R"({"stream":true},"model":"other"})";
  EXPECT_FALSE(find(whole.substr(0, 15)).places[0].present());
}

TEST(BodyFields, RefusesWhatIsNoObject) {
  for (std::string_view body : {"[1]", "1", "{\"model\":", ""}) {
    auto found = find_fields(body, kKeys);
    ASSERT_FALSE(found) << body;
    EXPECT_EQ(found.error().code, ErrorCode::internal);
  }
}

}  // namespace
}  // namespace corral::bindings::openai::body_fields_test

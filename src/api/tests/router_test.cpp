#include "api/router.hpp"

#include <gtest/gtest.h>

namespace corral::api::router_test {
namespace {

Router make() {
  Router router;
  for (auto [method, pattern] : std::initializer_list<std::pair<const char*, const char*>>{
           {"GET", "/health"},
           {"POST", "/v1/chat"},
           {"GET", "/v1/models"},
           {"GET", "/v1/models/{...}"},
           {"GET", "/admin/models/{}"},
           {"DELETE", "/admin/models/{}"},
           {"POST", "/admin/models/{}/load"}}) {
    router.add({method, pattern, "test", {}, false});
  }
  return router;
}

// "pattern|parameter" or "-|allowed".
std::string found(std::string_view method, std::string_view path) {
  static const Router router = make();
  auto match = router.match(method, path);
  if (match.route == nullptr) return "-|" + match.allowed;
  EXPECT_EQ(match.allowed, "");
  return match.route->pattern + "|" + match.parameter;
}

TEST(Router, ExactPaths) {
  EXPECT_EQ(found("GET", "/health"), "/health|");
  EXPECT_EQ(found("GET", "/v1/models"), "/v1/models|");
  for (auto path : {"/", "", "/Health", "/health/", "//health", "/healthx", "/v1"}) {
    EXPECT_EQ(found("GET", path), "-|") << path;
  }
}

TEST(Router, HeadIsAnsweredByGet) {
  EXPECT_EQ(found("HEAD", "/health"), "/health|");
  EXPECT_EQ(found("HEAD", "/v1/models/x"), "/v1/models/{...}|x");
  EXPECT_EQ(found("HEAD", "/v1/chat"), "-|POST");
}

TEST(Router, TheWrongMethodNamesTheRightOnes) {
  EXPECT_EQ(found("POST", "/health"), "-|GET, HEAD");
  EXPECT_EQ(found("GET", "/v1/chat"), "-|POST");
  EXPECT_EQ(found("PUT", "/admin/models/x"), "-|GET, HEAD, DELETE");
  EXPECT_EQ(found("GET", "/admin/models/x/load"), "-|POST");
  EXPECT_EQ(found("get", "/health"), "-|GET, HEAD");  // methods are case-sensitive
}

TEST(Router, OneParameterIsOneSegment) {
  EXPECT_EQ(found("GET", "/admin/models/x"), "/admin/models/{}|x");
  EXPECT_EQ(found("DELETE", "/admin/models/x"), "/admin/models/{}|x");
  EXPECT_EQ(found("POST", "/admin/models/x/load"), "/admin/models/{}/load|x");
  EXPECT_EQ(found("POST", "/admin/models/load/load"), "/admin/models/{}/load|load");
  EXPECT_EQ(found("GET", "/admin/models/a/b"), "-|");
  EXPECT_EQ(found("POST", "/admin/models/a/b/load"), "-|");
}

TEST(Router, AParameterIsNeverEmpty) {
  EXPECT_EQ(found("GET", "/admin/models/"), "-|");
  EXPECT_EQ(found("POST", "/admin/models//load"), "-|");
  EXPECT_EQ(found("POST", "/admin/models/load"), "-|GET, HEAD, DELETE");
  EXPECT_EQ(found("GET", "/v1/models/"), "-|");
}

TEST(Router, TheRestMayHoldSlashes) {
  EXPECT_EQ(found("GET", "/v1/models/a/b/c"), "/v1/models/{...}|a/b/c");
  EXPECT_EQ(found("GET", "/v1/models//"), "/v1/models/{...}|/");
}

TEST(Router, ParametersAreDecoded) {
  EXPECT_EQ(found("GET", "/admin/models/a%2Fb%20c%C3%A9"), "/admin/models/{}|a/b cé");
  EXPECT_EQ(found("GET", "/v1/models/100%25"), "/v1/models/{...}|100%");
  EXPECT_EQ(found("GET", "/v1/models/a+b"), "/v1/models/{...}|a+b");
  for (auto path : {"/v1/models/%", "/v1/models/%4", "/v1/models/%zz", "/v1/models/a%00b"}) {
    EXPECT_EQ(found("GET", path), "-|") << path;
  }
}

}  // namespace
}  // namespace corral::api::router_test

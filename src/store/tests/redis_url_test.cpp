#include "store/redis_url.hpp"

#include <gtest/gtest.h>

namespace corral::store::redis_url_test {
namespace {

RedisUrl good(std::string_view text) {
  auto url = RedisUrl::parse(text);
  EXPECT_TRUE(url) << text << ": " << (url ? std::string() : url.error().describe());
  return url.value_or(RedisUrl{});
}

TEST(RedisUrl, ReadsHostPortAndDatabase) {
  auto url = good("redis://cache.local:6380/3");
  EXPECT_EQ(url.host, "cache.local");
  EXPECT_EQ(url.port, 6380);
  EXPECT_EQ(url.database, 3);
  EXPECT_FALSE(url.tls);
  EXPECT_EQ(good("redis://h").port, 6379);
  EXPECT_EQ(good("redis://h/").database, 0);
  EXPECT_EQ(good("redis://h?db=7").database, 7);
  auto v6 = good("redis://[::1]:1/2");
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.display(), "redis://[::1]:1/2");
}

TEST(RedisUrl, ReadsTheLogin) {
  auto url = good("redis://me:p%40s%2Fs%3Aw@h");
  EXPECT_EQ(url.user, "me");
  EXPECT_EQ(url.password, "p@s/s:w");
  auto only_password = good("redis://:secret@h");
  EXPECT_EQ(only_password.user, "");
  EXPECT_EQ(only_password.password, "secret");
  EXPECT_EQ(url.display(), "redis://h:6379/0");
}

TEST(RedisUrl, ReadsTlsAndSockets) {
  auto url = good("rediss://h?ca=/etc/ca%20file.pem");
  EXPECT_TRUE(url.tls);
  EXPECT_EQ(url.ca_file, "/etc/ca file.pem");
  EXPECT_EQ(url.display(), "rediss://h:6379/0");
  auto socket = good("unix:/run/redis.sock?db=2&password=p%25w");
  EXPECT_EQ(socket.socket_path, "/run/redis.sock");
  EXPECT_EQ(socket.database, 2);
  EXPECT_EQ(socket.password, "p%w");
  EXPECT_EQ(socket.display(), "unix:/run/redis.sock");
  EXPECT_EQ(good("unix:///run/redis.sock").socket_path, "/run/redis.sock");
}

TEST(RedisUrl, RefusesWhatIsWrongWithoutRepeatingIt) {
  for (std::string_view text : {"",
                                "hunter2",
                                "http://h",
                                "redis:h",
                                "redis://",
                                "redis://:hunter2@",
                                "redis://h:",
                                "redis://h:0",
                                "redis://h:65536",
                                "redis://h:hunter2",
                                "redis://h/hunter2",
                                "redis://h/-1",
                                "redis://h/9999999999",
                                "redis://[::1",
                                "redis://[::1]x",
                                "redis://hunter2@h",
                                "redis://:%zz@h",
                                "redis://:%0@h",
                                "redis://:%00@h",
                                "redis://u%:hunter2@h",
                                "redis://%g",
                                "redis://h?hunter2=1",
                                "redis://h?password=hunter2",
                                "redis://h?ca=x",
                                "unix:",
                                "unix:redis.sock",
                                "unix:/r%00",
                                "unix:/r?db=x",
                                "unix:/r?password=%q",
                                "rediss://h?ca=%"}) {
    auto url = RedisUrl::parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_EQ(url.error().param, "shared.url") << text;
    EXPECT_FALSE(url.error().hint_text.empty()) << text;
    EXPECT_FALSE(url.error().describe().contains("hunter2")) << url.error().describe();
  }
}

}  // namespace
}  // namespace corral::store::redis_url_test

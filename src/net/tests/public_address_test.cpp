// Which addresses a fetch from outside may reach.
#include "net/public_address.hpp"

#include <gtest/gtest.h>

#include "http_client_fixture.hpp"

namespace corral::net::public_address_test {
namespace {

bool reachable(const char* text) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    storage.ss_family = AF_INET;
  } else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
    storage.ss_family = AF_INET6;
  } else {
    ADD_FAILURE() << text << " is no address";
  }
  return is_public(reinterpret_cast<const sockaddr&>(storage));
}

TEST(PublicAddress, OrdinaryOnesAre) {
  for (const char* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
        "192.169.0.0", "100.63.255.255", "100.128.0.0", "169.253.255.255", "223.255.255.255",
        "2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1"}) {
    EXPECT_TRUE(reachable(text)) << text;
  }
}

TEST(PublicAddress, PrivateAndReservedOnesAreNot) {
  for (const char* text : {"0.0.0.0",
                           "10.0.0.1",
                           "10.255.255.255",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.0.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "fec0::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "::127.0.0.1",
                           "64:ff9b::10.0.0.1",
                           "64:ff9b:1::1",
                           "2002:7f00:0001::1",
                           "2001::1",
                           "2001:db8::1",
                           "3fff::1",
                           "100::1"}) {
    EXPECT_FALSE(reachable(text)) << text;
  }
}

TEST(PublicAddress, WhatIsNoIpAddressIsNot) {
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  EXPECT_FALSE(is_public(reinterpret_cast<const sockaddr&>(storage)));
}

using testing::always;
using testing::Ask;
using testing::ok;
using testing::ScriptedServer;

class Reaching : public testing::HttpClientTest {
 protected:
  Result<testing::Answer> reach(HttpTarget to, Reach reach) {
    Ask ask;
    to.reach = reach;
    ask.target = to;
    return loops.run(shard, fetch(std::move(ask)));
  }
};

TEST_F(Reaching, APrivateAddressIsRefusedByWhateverName) {
  ScriptedServer server(always(ok("hello")));
  for (const char* host : {"127.0.0.1", "localhost", "127.1", "2130706433"}) {
    HttpTarget to = target(server.port);
    to.host = host;
    auto answer = reach(to, Reach::public_only);
    ASSERT_FALSE(answer) << host;
    EXPECT_EQ(answer.error().code, ErrorCode::forbidden) << host;
  }
  EXPECT_EQ(server.accepted, 0);
}

TEST_F(Reaching, AConnectionOfThoseWhoMayIsNotShared) {
  ScriptedServer server(always(ok("hello")));
  ASSERT_TRUE(reach(target(server.port), Reach::anywhere));
  EXPECT_EQ(pooled(), 1u);
  EXPECT_FALSE(reach(target(server.port), Reach::public_only));
  EXPECT_TRUE(reach(target(server.port), Reach::anywhere));
  EXPECT_EQ(server.accepted, 1);
}

TEST_F(Reaching, AUnixSocketIsNotPublic) {
  HttpTarget to = *parse_target("unix:/tmp/none.sock");
  auto answer = reach(to, Reach::public_only);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::forbidden);
}

}  // namespace
}  // namespace corral::net::public_address_test

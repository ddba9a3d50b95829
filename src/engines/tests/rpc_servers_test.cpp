#include "engines/rpc_servers.hpp"

#include "engines/tests/instance_fixture.hpp"
#include "sys/ports.hpp"

namespace corral::engines::rpc_servers_test {
namespace {

TEST(RpcServers, AddressesAreHostAndPort) {
  auto target = parse_rpc_server("box-2.local:50052");
  ASSERT_TRUE(target) << target.error().describe();
  EXPECT_EQ(target->host, "box-2.local");
  EXPECT_EQ(target->port, 50052);
  for (const char* wrong : {"", "box", "box:", "box:0", "box:65536", ":1", "a:1,b:2", "[::1]:5",
                            "-x:1", "a b:1", "a:1x", "\x01:1"}) {
    auto parsed = parse_rpc_server(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_TRUE(parsed.error().hint_text.contains("HOST:PORT"));
  }
}

std::string nobody_there() { return "127.0.0.1:" + std::to_string(*sys::free_loopback_port()); }

INSTANCE_TEST(AMissingRpcServerIsNamedAndTriedAgain) {
  const std::string missing = nobody_there();
  t.spec_.rpc = {missing};
  t.spec_.settings.restart_limit = 2;
  t.fake({"--fake-runs", t.runs()});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_TRUE(event.error->message.contains("the rpc-server " + missing + " cannot be reached"))
      << event.error->message;
  EXPECT_EQ(t.instance_->info().restarts, 1u);
  EXPECT_EQ(t.run_count(), 0u);  // no engine was started for that
}

INSTANCE_TEST(AWrongAddressIsNotTriedAgain) {
  t.spec_.rpc = {"box"};
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "failed");
  EXPECT_EQ(event.error->code, ErrorCode::invalid_argument);
  EXPECT_EQ(t.instance_->info().restarts, 0u);
}

INSTANCE_TEST(StoppedWhileItLooksItStartsNothing) {
  t.spec_.rpc = {nobody_there()};
  t.fake({"--fake-runs", t.runs()});
  t.make().start();
  t.instance_->stop();
  co_await t.instance_->stopped();
  EXPECT_EQ(t.instance_->state(), InstanceState::stopped);
  EXPECT_EQ(t.run_count(), 0u);
}

// Another engine does for an rpc-server: all that is asked is whether it takes connections.
INSTANCE_TEST(WithItsRpcServersThereItStarts) {
  t.fake({});
  t.make().start();
  auto event = co_await t.next();
  REQUIRE(event.kind == "ready");
  auto first = std::move(t.instance_);
  t.spec_.rpc = {"127.0.0.1:" + std::to_string(event.address.port)};
  t.make().start();
  event = co_await t.next();
  REQUIRE(event.kind == "ready");
  EXPECT_TRUE(t.recorded().contains("\"--rpc\", \"" + t.spec_.rpc.front())) << t.recorded();
  co_await t.instance_->close();
  co_await first->close();
}

}  // namespace
}  // namespace corral::engines::rpc_servers_test

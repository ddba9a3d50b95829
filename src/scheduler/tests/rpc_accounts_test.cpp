// The memory of rpc-servers, which are made up: what they say is free is what engines may hold
// there.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "scheduler/core/rpc_accounts.hpp"
#include "scheduler/tests/world.hpp"
#include "sys/fd.hpp"

namespace corral::scheduler::rpc_accounts_test {
namespace {

using namespace std::chrono_literals;
using net::testing::eventually;

// Says that so much of its memory is free, to one after the other.
class FakeRpcServer {
 public:
  // `total` 0: twice what is free.
  explicit FakeRpcServer(std::uint64_t free, std::uint64_t total = 0)
      : free_(free), total_(total == 0 ? 2 * free : total) {
    listener_ = sys::Fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at);
    socklen_t size = sizeof at;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    ::listen(listener_.get(), 16);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeRpcServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  std::string address;
  std::atomic<int> answered{0};

 private:
  static std::string number(std::uint64_t value) {
    std::string out;
    for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
    return out;
  }
  void serve() {
    for (;;) {
      sys::Fd client(::accept(listener_.get(), nullptr, nullptr));
      if (client.get() < 0) return;
      std::string question;
      char buffer[256];
      constexpr std::size_t kWhole = 46;
      while (question.size() < kWhole) {
        auto got = ::recv(client.get(), buffer, sizeof buffer, 0);
        if (got <= 0) break;  // it only looked whether somebody is there
        question.append(buffer, static_cast<std::size_t>(got));
      }
      if (question.size() < kWhole) continue;
      const std::string answer =
          number(28) + std::string(28, '\4') + number(16) + number(free_) + number(total_);
      ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      ++answered;
    }
  }

  std::uint64_t free_;
  std::uint64_t total_;
  sys::Fd listener_;
  std::thread thread_;
};

class RpcWorld : public World {
 public:
  void put(const std::string& model, std::vector<std::string> servers) {
    put_model(model);
    settings.models.settings[model].rpc = std::move(servers);
  }
  double gauge(const std::string& what, const std::string& device) {
    return metric_value("corral_memory_" + what + "_bytes{device=\"" + device + "\"}");
  }
  // Until what it said is known.
  bool known(const FakeRpcServer& server, double bytes) {
    return eventually([&] { return gauge("budget", server.address) == bytes; }, 60s);
  }

 private:
  double metric_value(const std::string& series) {
    const std::string all = metrics.expose();
    const auto at = all.find(series + " ");
    return at == std::string::npos ? -1 : std::stod(all.substr(at + series.size() + 1));
  }
};

using Said = std::map<std::string, RpcSaid>;

TEST(RpcAccounts, ThoseOfOneHostThatSayTheSameTotalCountOnce) {
  const auto accounts =
      rpc_accounts({"a:1", "a:2", "a:3", "b:1", "b:2"},
                   Said{{"a:1", {5, 8}}, {"a:2", {9, 16}}, {"a:3", {4, 8}}, {"b:1", {6, 8}}});
  const std::vector<RpcAccount> wanted = {{"a:1,3", {"a:1", "a:3"}, 4},
                                          {"a:2", {"a:2"}, 9},
                                          {"b:1", {"b:1"}, 6},
                                          {"b:2", {"b:2"}, std::nullopt}};
  EXPECT_EQ(accounts, wanted);
}

TEST(RpcAccounts, AHostThatIsWrittenInTwoWaysIsTwo) {
  const auto accounts = rpc_accounts({"127.0.0.1:2", "localhost:1"},
                                     Said{{"127.0.0.1:2", {5, 8}}, {"localhost:1", {5, 8}}});
  EXPECT_EQ(accounts.size(), 2u);
  EXPECT_TRUE(rpc_accounts({}, Said{{"a:1", {5, 8}}}).empty());
}

TEST(RpcAccounts, WhatSeveralHaveBetweenThemIsChargedOnce) {
  FakeRpcServer one(3u << 30, 8ull << 30);
  FakeRpcServer two(1u << 30, 8ull << 30);
  RpcWorld world;
  world.put("tiny", {one.address, two.address});
  world.start();
  const auto least = std::min(one.address, two.address);
  const auto other = std::max(one.address, two.address);
  const auto shared = least + "," + other.substr(other.find(':') + 1);
  ASSERT_TRUE(eventually([&] { return world.gauge("budget", shared) == 1u << 30; }, 60s));
  EXPECT_LE(world.gauge("budget", one.address), 0);
  ASSERT_TRUE(world.ensure("tiny"));
  const auto details = world.details("tiny");
  ASSERT_TRUE(details && details->plan && *details->plan);
  const auto& plan = *details->plan;
  EXPECT_NEAR(world.gauge("held", shared), static_cast<double>(plan->device_bytes), 2);
  EXPECT_LE(world.gauge("held", two.address), 0);
  const auto why = std::ranges::find(plan->choices, "memory elsewhere", &models::Choice::what);
  ASSERT_NE(why, plan->choices.end());
  EXPECT_TRUE(why->why.contains(shared + " say the same memory, which counts once")) << why->why;
  ASSERT_TRUE(world.unload("tiny"));
  EXPECT_EQ(world.gauge("held", shared), 0);
}

TEST(RpcAccounts, WhatAModelTakesThereIsCharged) {
  FakeRpcServer one(3u << 30);
  FakeRpcServer two(1u << 30);
  RpcWorld world;
  world.put("tiny", {one.address, two.address});
  world.start();
  ASSERT_TRUE(world.known(one, 3u << 30));
  ASSERT_TRUE(world.known(two, 1u << 30));
  ASSERT_TRUE(world.ensure("tiny"));
  EXPECT_TRUE(eventually([&] { return world.gauge("held", two.address) > 0; }, 60s));
  // By what each has free.
  EXPECT_NEAR(world.gauge("held", one.address) / world.gauge("held", two.address), 3, 0.01);
  ASSERT_TRUE(world.unload("tiny"));
  EXPECT_TRUE(eventually([&] { return world.gauge("held", two.address) == 0; }, 60s));
}

TEST(RpcAccounts, AModelThatDoesNotFitThereIsRefused) {
  FakeRpcServer small(1000);
  RpcWorld world;
  world.put("tiny", {small.address});
  world.start();
  ASSERT_TRUE(world.known(small, 1000));
  auto refused = world.ensure("tiny");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(refused.error().message.contains(small.address)) << refused.error().message;
  EXPECT_TRUE(refused.error().message.contains("1000 B")) << refused.error().message;
}

// One that says nothing sets no limit.
TEST(RpcAccounts, AServerThatIsSilentIsNotCounted) {
  FakeRpcServer there(1u << 30);
  RpcWorld world;
  world.put("tiny", {there.address, "127.0.0.1:1"});
  world.start();
  ASSERT_TRUE(world.known(there, 1u << 30));
  EXPECT_EQ(world.gauge("budget", "127.0.0.1:1"), -1);
}

}  // namespace
}  // namespace corral::scheduler::rpc_accounts_test

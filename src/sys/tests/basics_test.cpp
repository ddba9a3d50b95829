// Clock, descriptors, random bytes, user folders.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <set>

#include "sys/clock.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/ports.hpp"
#include "sys/random.hpp"

namespace corral::sys::basics_test {
namespace {

using namespace std::chrono_literals;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Clock, ManualMovesBothTimesOnlyWhenTold) {
  ManualClock clock;
  Steady steady = clock.now();
  Wall wall = clock.wall();
  EXPECT_EQ(clock.now(), steady);
  clock.advance(1500ms);
  EXPECT_EQ(clock.now() - steady, 1500ms);
  EXPECT_EQ(clock.wall() - wall, 1500ms);
}

TEST(Clock, RealGoesForward) {
  RealClock clock;
  Steady first = clock.now();
  EXPECT_GE(clock.now(), first);
  EXPECT_GT(clock.wall(), Wall(std::chrono::sys_days{std::chrono::year{2024} / 1 / 1}));
}

TEST(Fd, ClosesAtEndAndOnReset) {
  int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Fd fd(number);
    EXPECT_TRUE(fd.valid());
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));

  Fd again(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  number = again.get();
  again.reset();
  EXPECT_FALSE(again.valid());
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovesOwnership) {
  Fd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int number = first.get();
  Fd second(std::move(first));
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.get(), number);

  Fd third(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int replaced = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), number);
  EXPECT_FALSE(is_open(replaced));

  EXPECT_EQ(third.release(), number);
  EXPECT_TRUE(is_open(number));
  Fd closes(number);
}

TEST(Fd, ReadAvailableTellsNothingYetFromTheEnd) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  std::array<char, 8> buffer{};
  EXPECT_EQ(read_available(read_end.get(), buffer), std::nullopt);
  ASSERT_EQ(::write(write_end.get(), "abc", 3), 3);
  EXPECT_EQ(read_available(read_end.get(), buffer), 3u);
  write_end.reset();
  EXPECT_EQ(read_available(read_end.get(), buffer), 0u);
  EXPECT_EQ(read_available(-1, buffer), 0u);
}

TEST(Ports, AFreePortCanBeListenedOnAndItsOwnerIsKnown) {
  auto port = free_loopback_port();
  ASSERT_TRUE(port);
  EXPECT_GT(*port, 0);
  EXPECT_EQ(group_listens_on(::getpgrp(), *port), false);

  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(*port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(group_listens_on(::getpgrp(), *port), false);  // bound is not yet listening
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  EXPECT_EQ(group_listens_on(::getpgrp(), *port), true);
  EXPECT_EQ(group_listens_on(999'999, *port), false);  // somebody does, but not they
}

TEST(Random, FillsAndDiffers) {
  std::array<unsigned char, 1024> first{};
  std::array<unsigned char, 1024> second{};
  fill_random(first);
  fill_random(second);
  EXPECT_NE(first, second);
  std::set<unsigned char> values(first.begin(), first.end());
  EXPECT_GT(values.size(), 200u);  // of 256; about 251 are expected
}

TEST(Random, HexHasTwoDigitsAByte) {
  std::string text = random_hex(32);
  EXPECT_EQ(text.size(), 64u);
  EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(text, random_hex(32));
  EXPECT_EQ(random_hex(0), "");
}

// Restores the variables that these tests change.
class UserFoldersTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kNames) {
      const char* value = ::getenv(name);
      if (value != nullptr) before_[name] = value;
      ::unsetenv(name);
    }
  }
  void TearDown() override {
    for (const char* name : kNames) {
      auto it = before_.find(name);
      it == before_.end() ? ::unsetenv(name) : ::setenv(name, it->second.c_str(), 1);
    }
  }
  static constexpr std::array kNames{"HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"};
  std::map<std::string, std::string> before_;
};

TEST_F(UserFoldersTest, BelowHome) {
  ::setenv("HOME", "/home/ada", 1);
  auto folders = user_folders();
  ASSERT_TRUE(folders);
  EXPECT_EQ(folders->cache, "/home/ada/.cache/corral");
  EXPECT_EQ(folders->data, "/home/ada/.local/share/corral");
  EXPECT_EQ(folders->config, "/home/ada/.config/corral");
}

TEST_F(UserFoldersTest, XdgVariablesWinAndRelativeOnesAreIgnored) {
  ::setenv("HOME", "/home/ada", 1);
  ::setenv("XDG_CACHE_HOME", "/fast/cache", 1);
  ::setenv("XDG_DATA_HOME", "not/absolute", 1);
  auto folders = user_folders();
  ASSERT_TRUE(folders);
  EXPECT_EQ(folders->cache, "/fast/cache/corral");
  EXPECT_EQ(folders->data, "/home/ada/.local/share/corral");
}

TEST_F(UserFoldersTest, NoHomeIsAnErrorWithAHint) {
  auto folders = user_folders();
  ASSERT_FALSE(folders);
  EXPECT_EQ(folders.error().code, ErrorCode::not_found);
  EXPECT_NE(folders.error().hint_text.find("HOME"), std::string::npos);
}

TEST_F(UserFoldersTest, NoHomeNeededWhenAllThreeAreGiven) {
  ::setenv("XDG_CACHE_HOME", "/a", 1);
  ::setenv("XDG_DATA_HOME", "/b", 1);
  ::setenv("XDG_CONFIG_HOME", "/c", 1);
  auto folders = user_folders();
  ASSERT_TRUE(folders);
  EXPECT_EQ(folders->config, "/c/corral");
}

}  // namespace
}  // namespace corral::sys::basics_test

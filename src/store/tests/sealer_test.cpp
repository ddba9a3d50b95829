#include "store/sealer.hpp"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "sys/testing/failing_files.hpp"
#include "sys/tests/temp_folder.hpp"

namespace corral::store::sealer_test {
namespace {

namespace fs = std::filesystem;

class Sealing : public ::testing::Test {
 protected:
  std::unique_ptr<Sealer> open(const std::string& name = "secrets.key") {
    auto sealer = Sealer::open(*files_, folder_ / name);
    EXPECT_TRUE(sealer.has_value());
    return std::move(*sealer);
  }
  sys::TempFolder folder_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
};

TEST_F(Sealing, WhatIsSealedOpensAgainAlsoLater) {
  std::string secret = "not a real key: ü";
  std::string sealed = open()->seal(secret, "endpoint/a/api_key");
  EXPECT_TRUE(sealed.starts_with("sealed:v1:"));
  EXPECT_EQ(sealed.find("real"), std::string::npos);
  auto later = open();
  EXPECT_EQ(sealed.substr(10, 16), later->key_id());
  EXPECT_EQ(later->unseal(sealed, "endpoint/a/api_key").value(), secret);
  EXPECT_NE(later->seal(secret, "x"), later->seal(secret, "x"));
  EXPECT_EQ(later->unseal(later->seal("", ""), "").value(), "");
  std::string large(1 << 20, 'x');
  EXPECT_EQ(later->unseal(later->seal(large, "c"), "c").value(), large);
}

TEST_F(Sealing, EveryChangedCharacterIsNoticed) {
  auto sealer = open();
  std::string sealed = sealer->seal("secret", "context");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(sealer->unseal(changed, "context").has_value()) << i;
    EXPECT_FALSE(sealer->unseal(sealed.substr(0, i), "context").has_value()) << i;
  }
  EXPECT_TRUE(sealer->unseal(sealed, "context").has_value());
}

TEST_F(Sealing, BadTextsAreRefused) {
  auto sealer = open();
  std::string head = "sealed:v1:" + sealer->key_id() + ":";
  for (const std::string& text :
       {std::string(), std::string("plain"), std::string("sealed:v2:x:y"),
        std::string("sealed:v1:"), head, head + "!!!!", head + "AAAA", head + "AAA", head + "AA AA",
        head + "QUJD\n", head + std::string(100, '='), head + std::string("\0", 1)}) {
    auto opened = sealer->unseal(text, "");
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument) << text;
  }
  EXPECT_FALSE(Sealer::is_sealed("sk-plain"));
  EXPECT_TRUE(Sealer::is_sealed(head));
}

TEST_F(Sealing, AnotherContextDoesNotOpenIt) {
  auto sealer = open();
  auto opened = sealer->unseal(sealer->seal("secret", "endpoint/a"), "endpoint/b");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument);
}

TEST_F(Sealing, AnotherKeyIsNamedAsTheReason) {
  auto ours = open(), theirs = open("other.key");
  ASSERT_NE(ours->key_id(), theirs->key_id());
  std::string sealed = theirs->seal("secret", "");
  auto opened = ours->unseal(sealed, "");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::unavailable);
  EXPECT_NE(opened.error().hint_text.find("key file"), std::string::npos);
  // Claiming our key's id does not help.
  EXPECT_FALSE(ours->unseal("sealed:v1:" + ours->key_id() + sealed.substr(26), ""));
}

TEST_F(Sealing, TheKeyFileIsForItsOwnerOnly) {
  open();
  auto mode = fs::status(folder_ / "secrets.key").permissions();
  EXPECT_EQ(mode & fs::perms::all, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  fs::permissions(folder_ / "secrets.key", fs::perms::group_read, fs::perm_options::add);
  auto refused = Sealer::open(*files_, folder_ / "secrets.key");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::forbidden);
}

TEST_F(Sealing, ADamagedKeyFileIsNotReplaced) {
  for (const char* content : {"", "rubbish", "corral-key:v1:AAAA\n", "corral-key:v1:!\n"}) {
    auto file = folder_.put("bad.key", content);
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    auto refused = Sealer::open(*files_, file);
    ASSERT_FALSE(refused) << content;
    EXPECT_EQ(refused.error().code, ErrorCode::io);
    EXPECT_EQ(files_->read(file, 100).value(), content);
  }
}

TEST_F(Sealing, EveryFailingFileCallIsReported) {
  for (std::size_t n = 1;; ++n) {
    sys::FailingFiles failing(*files_);
    failing.fail_at(n);
    sys::Path file = folder_ / ("key-" + std::to_string(n));
    auto sealer = Sealer::open(failing, file);
    if (!failing.failed()) {
      EXPECT_TRUE(sealer.has_value());
      EXPECT_GT(n, 3u);
      break;
    }
    EXPECT_FALSE(sealer.has_value()) << n;
  }
  EXPECT_FALSE(Sealer::open(*files_, folder_ / "no-such-folder" / "key").has_value());
}

TEST_F(Sealing, AllWhoStartAtOnceGetTheSameKey) {
  std::vector<std::string> ids(8);
  {
    std::vector<std::jthread> threads;
    for (auto& id : ids)
      threads.emplace_back([&] { id = Sealer::open(*files_, folder_ / "k").value()->key_id(); });
  }
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 1u);
  EXPECT_EQ(ids[0].size(), 16u);
}

}  // namespace
}  // namespace corral::store::sealer_test

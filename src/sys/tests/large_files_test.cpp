// Files that are filled in pieces.
#include "sys/large_files.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "temp_folder.hpp"

namespace corral::sys::large_files_test {
namespace {

class LargeFilesTest : public testing::Test {
 protected:
  std::string content(const Path& path) { return *files_->read(path, 1 << 20); }

  TempFolder folder_;
  Path path_ = folder_.path() / "file";
  std::unique_ptr<Files> files_ = real_files();
  std::unique_ptr<LargeFiles> large_ = real_large_files();
};

TEST_F(LargeFilesTest, IsFilledInAnyOrderAndMoved) {
  auto file = large_->open(path_, 0600);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->reserve(8));
  EXPECT_EQ((*file)->size(), 8u);
  ASSERT_TRUE((*file)->write_at(4, "5678"));
  ASSERT_TRUE((*file)->write_at(0, "1234"));
  ASSERT_TRUE((*file)->sync());
  char bytes[16];
  EXPECT_EQ(*(*file)->read_at(2, bytes, sizeof bytes), 6u);
  EXPECT_EQ(std::string(bytes, 6), "345678");
  ASSERT_TRUE((*file)->set_mode(0640));
  Path to = folder_.path() / "moved";
  ASSERT_TRUE(large_->rename(path_, to));
  EXPECT_EQ(content(to), "12345678");
  struct stat st{};
  ASSERT_EQ(::stat(to.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
  EXPECT_FALSE(files_->stat(path_));
}

TEST_F(LargeFilesTest, OpeningKeepsWhatIsThere) {
  ASSERT_TRUE((*large_->open(path_, 0600))->write_at(0, "kept"));
  auto again = large_->open(path_, 0600);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->size(), 4u);
  ASSERT_TRUE((*again)->reserve(2));
  EXPECT_EQ(content(path_), "ke");
  ASSERT_TRUE((*again)->reserve(0));
  EXPECT_EQ((*again)->size(), 0u);
}

TEST_F(LargeFilesTest, NoLinkAndNoFifoIsFollowed) {
  Path other = folder_.path() / "other";
  ASSERT_TRUE(files_->write_atomic(other, "precious", 0600));
  ASSERT_EQ(::symlink(other.c_str(), path_.c_str()), 0);
  auto file = large_->open(path_, 0600);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().hint_text, "");
  Path fifo = folder_.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(large_->open(fifo, 0600).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(large_->open(folder_.path() / "no" / "file", 0600).error().code, ErrorCode::not_found);
  EXPECT_FALSE(large_->rename(folder_.path() / "none", other));
  EXPECT_EQ(content(other), "precious");
}

TEST_F(LargeFilesTest, KnowsWhatIsFree) {
  auto free = large_->free_bytes(folder_.path());
  ASSERT_TRUE(free);
  EXPECT_GT(*free, 1u << 20);
  auto file = large_->open(path_, 0600);
  auto refused = (*file)->reserve(*free * 2);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().hint_text, "");
  EXPECT_FALSE(large_->free_bytes(folder_.path() / "none"));
}

// A limit of the process on the size of files is an error like a full disk, not the end.
TEST_F(LargeFilesTest, ALimitOnTheSizeIsSaid) {
  auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  auto file = large_->open(path_, 0600);
  rlimit small{4096, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto reserved = (*file)->reserve(8192);
  auto written = (*file)->write_at(8192, "x");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_action);
  ASSERT_FALSE(reserved);
  EXPECT_NE(reserved.error().message.find("limit"), std::string::npos);
  EXPECT_FALSE(written);
}

}  // namespace
}  // namespace corral::sys::large_files_test

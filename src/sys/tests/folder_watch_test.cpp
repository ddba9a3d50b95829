#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include "sys/files.hpp"
#include "temp_folder.hpp"

namespace corral::sys::folder_watch_test {
namespace {

class FolderWatchTest : public testing::Test {
 protected:
  void watch(std::size_t max_folders = 4096) {
    auto made = FolderWatch::create({folder_.path()}, max_folders);
    ASSERT_TRUE(made) << made.error().message;
    watch_ = std::move(*made);
  }
  // Events are queued by the time the call that causes them returns: no waiting is needed.
  bool readable() {
    pollfd entry{watch_->fd(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
  }
  bool changed() {
    bool was_readable = readable();
    bool drained = watch_->drain();
    EXPECT_EQ(was_readable, drained);
    EXPECT_FALSE(readable());
    return drained;
  }
  TempFolder folder_;
  std::unique_ptr<FolderWatch> watch_;
};

TEST_F(FolderWatchTest, SilentWhenNothingHappens) {
  folder_.put("before", "x");
  watch();
  EXPECT_FALSE(changed());
  EXPECT_EQ(watch_->take_warning(), "");
}

TEST_F(FolderWatchTest, NoticesFilesComingChangingMovingAndGoing) {
  watch();
  folder_.put("f", "x");
  EXPECT_TRUE(changed());
  folder_.put("f", "y");
  EXPECT_TRUE(changed());
  std::filesystem::rename(folder_ / "f", folder_ / "g");
  EXPECT_TRUE(changed());
  ::chmod((folder_ / "g").c_str(), 0600);
  EXPECT_TRUE(changed());
  std::filesystem::remove(folder_ / "g");
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
}

TEST_F(FolderWatchTest, AFileBeingWrittenIsOfInterestWhenClosed) {
  watch();
  std::ofstream file(folder_ / "f");
  EXPECT_TRUE(changed());  // it came
  file << "part" << std::flush;
  EXPECT_FALSE(changed());
  file.close();
  EXPECT_TRUE(changed());
}

TEST_F(FolderWatchTest, SubFoldersOldAndNew) {
  std::filesystem::create_directories(folder_ / "old/deep");
  watch();
  folder_.put("old/deep/f", "x");
  EXPECT_TRUE(changed());

  std::filesystem::create_directories(folder_ / "new/a/b");
  EXPECT_TRUE(changed());
  folder_.put("new/a/b/f", "x");
  EXPECT_TRUE(changed());
}

TEST_F(FolderWatchTest, ATreeMovedInIsWatchedAndOneMovedOutIsNot) {
  TempFolder elsewhere;
  elsewhere.put("tree/inner/f", "x");
  watch();
  std::filesystem::rename(elsewhere / "tree", folder_ / "tree");
  EXPECT_TRUE(changed());
  folder_.put("tree/inner/g", "x");
  EXPECT_TRUE(changed());

  std::filesystem::rename(folder_ / "tree", elsewhere / "tree");
  EXPECT_TRUE(changed());
  watch_->drain();  // what the removal of the watches itself says
  elsewhere.put("tree/inner/h", "x");
  EXPECT_FALSE(changed());
}

TEST_F(FolderWatchTest, ARemovedSubFolderMadeAnewIsWatchedAgain) {
  std::filesystem::create_directory(folder_ / "sub");
  watch();
  std::filesystem::remove(folder_ / "sub");
  EXPECT_TRUE(changed());
  std::filesystem::create_directory(folder_ / "sub");
  EXPECT_TRUE(changed());
  folder_.put("sub/f", "x");
  EXPECT_TRUE(changed());
}

TEST_F(FolderWatchTest, FollowsLinksToFoldersAndSurvivesLoops) {
  TempFolder elsewhere;
  std::filesystem::create_directory_symlink(elsewhere.path(), folder_ / "link");
  std::filesystem::create_directory_symlink(folder_.path(), folder_ / "loop");
  watch();
  EXPECT_EQ(watch_->take_warning(), "");
  elsewhere.put("f", "x");
  EXPECT_TRUE(changed());

  TempFolder later;
  std::filesystem::create_directory_symlink(later.path(), folder_ / "later");
  EXPECT_TRUE(changed());
  later.put("f", "x");
  EXPECT_TRUE(changed());
}

TEST_F(FolderWatchTest, PastTheLimitItSaysSoOnce) {
  for (int i = 0; i < 5; ++i)
    std::filesystem::create_directory(folder_ / ("d" + std::to_string(i)));
  watch(3);
  EXPECT_NE(watch_->take_warning().find("more than 3 folders"), std::string::npos);
  EXPECT_EQ(watch_->take_warning(), "");
  std::filesystem::create_directory(folder_ / "d9");
  EXPECT_TRUE(changed());
  EXPECT_EQ(watch_->take_warning(), "");
}

TEST_F(FolderWatchTest, AMissingFolderIsAnError) {
  auto made = FolderWatch::create({folder_.path(), folder_ / "missing"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::not_found);
  EXPECT_NE(made.error().message.find("missing"), std::string::npos);
  EXPECT_EQ(FolderWatch::create({folder_.put("file", "")}).error().code, ErrorCode::not_found);
}

TEST_F(FolderWatchTest, LostEventsAreMadeUpFor) {
  watch();
  // The kernel queues fs.inotify.max_queued_events (16384 by default), then drops the rest. Where
  // its queue is too long to fill, nothing is lost, and what follows holds as well.
  unsigned long limit = 16384;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> limit;
  limit = std::min(limit, 200'000ul);
  Path names[2] = {folder_ / "x", folder_ / "y"};
  std::ofstream(names[0]).close();
  for (unsigned long i = 0; i < limit; ++i) {
    // Two different events, so that the kernel does not merge them.
    ::rename(names[i % 2].c_str(), names[1 - i % 2].c_str());
  }
  std::filesystem::create_directories(folder_ / "unseen/deep");  // an event too many
  EXPECT_TRUE(changed());
  folder_.put("unseen/deep/f", "x");
  EXPECT_TRUE(changed());
}

}  // namespace
}  // namespace corral::sys::folder_watch_test

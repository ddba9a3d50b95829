#include "sys/files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "sys/testing/failing_files.hpp"
#include "temp_folder.hpp"

namespace corral::sys::files_test {
namespace {

class FilesTest : public testing::Test {
 protected:
  std::size_t entries() {
    auto listed = files_->list(folder_.path());
    return listed ? listed->size() : 0;
  }
  TempFolder folder_;
  std::unique_ptr<Files> files_ = real_files();
};

unsigned mode_of(const Path& path) {
  struct stat st{};
  return ::stat(path.c_str(), &st) == 0 ? st.st_mode & 07777u : 0;
}

TEST_F(FilesTest, StatTellsSizeKindTimeAndIdentity) {
  Path file = folder_.put("a.txt", "hello");
  auto info = files_->stat(file);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->path, file);
  EXPECT_EQ(info->size, 5u);
  EXPECT_FALSE(info->is_directory);
  auto age = RealClock().wall() - info->modified;
  EXPECT_LT(age, std::chrono::minutes(1));
  EXPECT_GT(age, -std::chrono::minutes(1));

  std::filesystem::create_hard_link(file, folder_ / "b.txt");
  auto other = files_->stat(folder_ / "b.txt");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->inode, info->inode);
  EXPECT_EQ(other->device, info->device);

  auto directory = files_->stat(folder_.path());
  ASSERT_TRUE(directory);
  EXPECT_TRUE(directory->is_directory);
}

TEST_F(FilesTest, StatFollowsLinks) {
  folder_.put("real", "12345678");
  std::filesystem::create_symlink("real", folder_ / "link");
  auto info = files_->stat(folder_ / "link");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size, 8u);
}

TEST_F(FilesTest, MissingIsNotFoundEverywhere) {
  Path missing = folder_ / "missing";
  EXPECT_EQ(files_->stat(missing).error().code, ErrorCode::not_found);
  EXPECT_EQ(files_->list(missing).error().code, ErrorCode::not_found);
  EXPECT_EQ(files_->open(missing).error().code, ErrorCode::not_found);
  EXPECT_EQ(files_->read(missing, 10).error().code, ErrorCode::not_found);
  EXPECT_EQ(files_->write_atomic(missing / "x", "", 0600).error().code, ErrorCode::not_found);
  EXPECT_NE(files_->stat(missing).error().message.find(missing.string()), std::string::npos);
  Path below_file = folder_.put("file", "") / "x";
  EXPECT_EQ(files_->stat(below_file).error().code, ErrorCode::not_found);
}

TEST_F(FilesTest, ListIsSortedOneLevelAndSkipsDeadLinks) {
  folder_.put("b", "");
  folder_.put("a", "");
  folder_.put("c/inner", "");
  std::filesystem::create_symlink("nowhere", folder_ / "dead");
  auto listed = files_->list(folder_.path());
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 3u);
  EXPECT_EQ((*listed)[0].path, folder_ / "a");
  EXPECT_EQ((*listed)[1].path, folder_ / "b");
  EXPECT_EQ((*listed)[2].path, folder_ / "c");
  EXPECT_TRUE((*listed)[2].is_directory);
}

TEST_F(FilesTest, ReadAtAnyPlace) {
  auto file = files_->open(folder_.put("f", "0123456789"));
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 10u);
  std::array<char, 16> buffer{};
  EXPECT_EQ((*file)->read_at(4, buffer.data(), 3).value(), 3u);
  EXPECT_EQ(std::string_view(buffer.data(), 3), "456");
  EXPECT_EQ((*file)->read_at(8, buffer.data(), 16).value(), 2u);  // past the end: fewer
  EXPECT_EQ((*file)->read_at(99, buffer.data(), 16).value(), 0u);
  EXPECT_FALSE((*file)->read_at(1ull << 63, buffer.data(), 1));  // an offset the system refuses
}

TEST_F(FilesTest, OpenRefusesWhatIsNotARegularFile) {
  EXPECT_EQ(files_->open(folder_.path()).error().code, ErrorCode::invalid_argument);
  Path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(files_->open(fifo).error().code, ErrorCode::invalid_argument);  // and does not hang
}

TEST_F(FilesTest, ReadUpToTheLimit) {
  Path file = folder_.put("f", "12345");
  EXPECT_EQ(files_->read(file, 5).value(), "12345");
  EXPECT_EQ(files_->read(file, 4).error().code, ErrorCode::too_large);
  EXPECT_EQ(files_->read(folder_.put("empty", ""), 0).value(), "");
  EXPECT_EQ(files_->read(folder_.path(), 10).error().code, ErrorCode::invalid_argument);
}

TEST_F(FilesTest, ReadTakesFilesWhoseSizeIsNotKnown) {
  auto status = files_->read("/proc/self/status", 1u << 20);
  ASSERT_TRUE(status);
  EXPECT_NE(status->find("Threads:"), std::string::npos);
  EXPECT_EQ(files_->read("/proc/self/status", 10).error().code, ErrorCode::too_large);
  EXPECT_EQ(files_->read("/dev/zero", 100'000).error().code, ErrorCode::too_large);

  Path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::string big(200'000, 'x');
  // The writer opens read-write, so that neither side waits for the other to appear.
  Fd held(::open(fifo.c_str(), O_RDWR | O_CLOEXEC));
  std::thread writer([&] {
    std::string_view rest = big;
    while (!rest.empty()) rest.remove_prefix(::write(held.get(), rest.data(), rest.size()));
    held.reset();
  });
  auto content = files_->read(fifo, 1u << 20);
  writer.join();
  ASSERT_TRUE(content);
  EXPECT_EQ(content->size(), big.size());
}

TEST_F(FilesTest, WriteAtomicReplacesContentAndSetsMode) {
  Path target = folder_ / "settings";
  ASSERT_TRUE(files_->write_atomic(target, "one", 0640));
  EXPECT_EQ(files_->read(target, 10).value(), "one");
  EXPECT_EQ(mode_of(target), 0640u);
  auto before = files_->stat(target);
  ASSERT_TRUE(files_->write_atomic(target, "two", 0600));
  EXPECT_EQ(files_->read(target, 10).value(), "two");
  EXPECT_EQ(mode_of(target), 0600u);
  EXPECT_NE(files_->stat(target)->inode, before->inode);  // a new file took the name
  EXPECT_EQ(entries(), 1u);                               // nothing temporary is left
}

TEST_F(FilesTest, WriteAtomicInTheWorkingDirectory) {
  Path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  EXPECT_TRUE(files_->write_atomic("plain", "x", 0600));
  std::filesystem::current_path(before);
  EXPECT_EQ(files_->read(folder_ / "plain", 10).value(), "x");
}

TEST_F(FilesTest, WriteAtomicThatFailsMidwayKeepsTheOldContent) {
  Path target = folder_.put("settings", "old");
  // A limit on file size makes write() fail after some bytes, as a full disk would.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit small{1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  auto written = files_->write_atomic(target, std::string(5000, 'n'), 0600);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);

  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::io);
  EXPECT_EQ(files_->read(target, 10).value(), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FilesTest, WriteAtomicOntoAFolderFailsAndLeavesNothing) {
  std::filesystem::create_directory(folder_ / "taken");
  EXPECT_FALSE(files_->write_atomic(folder_ / "taken", "x", 0600));
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(files_->write_atomic(folder_ / "", "x", 0600).error().code,
            ErrorCode::invalid_argument);
}

TEST_F(FilesTest, MakeDirectories) {
  ASSERT_TRUE(files_->make_directories(folder_ / "a/b/c", 0700));
  EXPECT_EQ(mode_of(folder_ / "a"), 0700u);
  EXPECT_EQ(mode_of(folder_ / "a/b/c"), 0700u);
  EXPECT_TRUE(files_->make_directories(folder_ / "a/b/c/", 0755));  // there already
  EXPECT_EQ(mode_of(folder_ / "a/b/c"), 0700u);                     // and not changed

  folder_.put("file", "");
  auto blocked = files_->make_directories(folder_ / "file/below", 0700);
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, ErrorCode::conflict);
  EXPECT_FALSE(files_->make_directories("/proc/none/such", 0700));
}

TEST_F(FilesTest, RemoveIsFineWithMissingFiles) {
  Path file = folder_.put("f", "x");
  EXPECT_TRUE(files_->remove(file));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_TRUE(files_->remove(file));
  folder_.put("full/inner", "");
  EXPECT_FALSE(files_->remove(folder_ / "full"));  // not empty
}

TEST_F(FilesTest, PermissionErrorsCarryAHint) {
  if (::geteuid() == 0) {
    // Root may read everything, so ask for what even root may not do.
    auto refused = files_->write_atomic("/proc/self/nothing", "x", 0600);
    ASSERT_FALSE(refused);
    return;
  }
  Path file = folder_.put("secret", "x");
  std::filesystem::permissions(file, std::filesystem::perms::none);
  auto refused = files_->read(file, 10);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::io);
  EXPECT_NE(refused.error().hint_text.find("permissions"), std::string::npos);
}

// A user of Files with several steps, for the decorator's own test.
Result<std::string> copy(Files& files, const Path& from, const Path& to) {
  CORRAL_TRY(auto info, files.stat(from));
  CORRAL_TRY(auto file, files.open(from));
  std::string content(info.size, '\0');
  CORRAL_TRY(auto got, file->read_at(0, content.data(), content.size()));
  content.resize(got);
  CORRAL_CHECK(files.make_directories(to.parent_path(), 0700));
  CORRAL_CHECK(files.write_atomic(to, content, 0600));
  CORRAL_TRY(auto listed, files.list(to.parent_path()));
  CORRAL_TRY(auto again, files.read(to, 100));
  CORRAL_CHECK(files.remove(from));
  return again + ":" + std::to_string(listed.size());
}

TEST_F(FilesTest, FailingFilesFailsEachCallInTurn) {
  std::size_t n = 1;
  for (;; ++n) {
    Path from = folder_.put("from", "data");
    FailingFiles failing(*files_);
    failing.fail_at(n);
    auto result = copy(failing, from, folder_ / "below/to");
    if (!failing.failed()) {
      ASSERT_TRUE(result);
      EXPECT_EQ(*result, "data:1");
      EXPECT_EQ(failing.calls(), 8u);
      break;
    }
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("injected"), std::string::npos);
  }
  EXPECT_EQ(n, 9u);
}

}  // namespace
}  // namespace corral::sys::files_test

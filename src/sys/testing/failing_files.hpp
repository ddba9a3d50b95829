// For tests of what uses `Files`: passes every call on to real ones but makes the Nth fail.
//
// A test runs its subject with fail_at(1), fail_at(2), ... until `failed()` stays false: then every
// call was made to fail once.
// Thread rule: one thread.
// Example:
//   for (std::size_t n = 1;; ++n) {
//     FailingFiles files(*real);  // auto real = real_files();
//     files.fail_at(n);
//     auto result = save(files);
//     if (!files.failed()) break;
//     EXPECT_FALSE(result);
//   }
#pragma once

#include <cerrno>

#include "sys/files.hpp"

namespace corral::sys {

class FailingFiles final : public Files {
 public:
  explicit FailingFiles(Files& inner) : inner_(inner) {}

  // The Nth call from now on (1: the next) fails with `error`; those after it succeed again.
  void fail_at(std::size_t nth, Error error = fail_os("injected failure", EIO)) {
    state_->remaining = nth;
    state_->error = std::move(error);
    state_->failed = false;
  }
  bool failed() const { return state_->failed; }
  std::size_t calls() const { return state_->calls; }

  Result<FileInfo> stat(const Path& path) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.stat(path);
  }
  Result<std::vector<FileInfo>> list(const Path& directory) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.list(directory);
  }
  Result<std::unique_ptr<ReadableFile>> open(const Path& path) override {
    if (due()) return std::unexpected(state_->error);
    auto file = inner_.open(path);
    if (!file) return file;
    return std::make_unique<FailingFile>(state_, std::move(*file));
  }
  Result<std::string> read(const Path& path, std::uint64_t limit) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.read(path, limit);
  }
  Result<void> write_atomic(const Path& path, std::string_view content, unsigned mode) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.write_atomic(path, content, mode);
  }
  Result<void> make_directories(const Path& path, unsigned mode) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.make_directories(path, mode);
  }
  Result<void> remove(const Path& path) override {
    if (due()) return std::unexpected(state_->error);
    return inner_.remove(path);
  }

 private:
  struct State {
    std::size_t calls = 0;
    std::size_t remaining = 0;  // 0: nothing will fail
    bool failed = false;
    Error error;

    bool due() {
      ++calls;
      if (remaining == 0 || --remaining > 0) return false;
      return failed = true;
    }
  };

  // Reads of an open file count like the calls above.
  class FailingFile final : public ReadableFile {
   public:
    FailingFile(std::shared_ptr<State> state, std::unique_ptr<ReadableFile> inner)
        : state_(std::move(state)), inner_(std::move(inner)) {}
    std::uint64_t size() const override { return inner_->size(); }
    Result<std::size_t> read_at(std::uint64_t offset, char* out,
                                std::size_t length) const override {
      if (state_->due()) return std::unexpected(state_->error);
      return inner_->read_at(offset, out, length);
    }

   private:
    std::shared_ptr<State> state_;
    std::unique_ptr<ReadableFile> inner_;
  };

  bool due() { return state_->due(); }

  Files& inner_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace corral::sys

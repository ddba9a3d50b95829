#include "models/sha256.hpp"

#include <fmt/core.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace corral::models {
namespace {

constexpr std::size_t kHashPiece = 1u << 20;

EVP_MD_CTX* context_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

void Sha256::Free::operator()(void* context) const { EVP_MD_CTX_free(context_of(context)); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_of(context_.get()), EVP_sha256(), nullptr);
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size());
}

std::string Sha256::digest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned length = 0;
  EVP_DigestFinal_ex(context_of(context_.get()), raw.data(), &length);
  std::string out = "sha256:";
  for (unsigned i = 0; i < length; ++i) out += fmt::format("{:02x}", raw[i]);
  return out;
}

FileHash::FileHash(std::unique_ptr<sys::ReadableFile> file, sys::Path path)
    : file_(std::move(file)),
      path_(std::move(path)),
      size_(file_->size()),
      buffer_(kHashPiece, '\0') {}

Result<FileHash> FileHash::open(sys::Files& files, const sys::Path& path) {
  CORRAL_TRY(auto file, files.open(path));
  return FileHash(std::move(file), path);
}

Result<bool> FileHash::step(std::uint64_t bytes) {
  std::uint64_t until = std::min(size_, at_ + bytes);
  while (at_ < until) {
    std::size_t wanted = std::min<std::uint64_t>(buffer_.size(), until - at_);
    CORRAL_TRY(std::size_t got, file_->read_at(at_, buffer_.data(), wanted));
    if (got == 0) {
      return fail(ErrorCode::io,
                  fmt::format("{} became shorter while it was read", path_.string()));
    }
    hash_.update(std::string_view(buffer_).substr(0, got));
    at_ += got;
  }
  return at_ == size_;
}

Result<std::string> hash_file(sys::Files& files, const sys::Path& path) {
  CORRAL_TRY(FileHash hash, FileHash::open(files, path));
  CORRAL_TRY(bool ended, hash.step(hash.size()));
  (void)ended;
  return hash.digest();
}

}  // namespace corral::models

#include "store/sealer.hpp"

#include <fmt/core.h>
#include <sodium.h>

#include <filesystem>
#include <vector>

#include "base/text.hpp"
#include "sys/random.hpp"

namespace corral::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "sealed:v1:";
constexpr std::string_view kFilePrefix = "corral-key:v1:";
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kKeyIdDigits = 16;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string to_base64(std::string_view raw) {
  std::string text(sodium_base64_ENCODED_LEN(raw.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  ::sodium_bin2base64(text.data(), text.size(), bytes(raw), raw.size(),
                      sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // the NUL that it ends with
  return text;
}

bool from_base64(std::string_view text, std::string& raw) {
  raw.assign(text.size() / 4 * 3 + 3, '\0');
  std::size_t length = 0;
  const char* end = nullptr;
  if (::sodium_base642bin(bytes(raw), raw.size(), text.data(), text.size(), nullptr, &length, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size())
    return false;
  raw.resize(length);
  return true;
}

void wipe(std::string& text) { ::sodium_memzero(text.data(), text.size()); }

Error damaged() {
  return fail(ErrorCode::invalid_argument, "a sealed secret is damaged or belongs elsewhere")
      .hint("enter the secret again");
}

// Puts a new key in place unless somebody else did so meanwhile: a link, unlike a rename, does not
// replace what is there.
Result<void> create_key(sys::Files& files, const sys::Path& file) {
  std::string raw(crypto_aead_xchacha20poly1305_ietf_KEYBYTES, '\0');
  sys::fill_random({bytes(raw), raw.size()});
  std::string content = std::string(kFilePrefix) + to_base64(raw) + "\n";
  sys::Path draft = file.string() + "." + sys::random_hex(6) + ".new";
  auto written = files.write_atomic(draft, content, 0600);
  wipe(raw);
  wipe(content);
  CORRAL_CHECK(written);
  std::error_code error;
  fs::create_hard_link(draft, file, error);
  auto removed = files.remove(draft);
  if (error && error != std::errc::file_exists)
    return fail_os("cannot make the key file '" + file.string() + "'", error.value());
  return removed;
}

Result<void> check_private(const sys::Path& file) {
  std::error_code error;
  auto permissions = fs::status(file, error).permissions();
  if (!error && (permissions & (fs::perms::group_all | fs::perms::others_all)) != fs::perms::none)
    return fail(ErrorCode::forbidden,
                "others than its owner may use the key file '" + file.string() + "'")
        .hint("chmod 600 '" + file.string() + "', and consider the secrets known");
  return {};
}

}  // namespace

Result<std::unique_ptr<Sealer>> Sealer::open(sys::Files& files, const sys::Path& key_file) {
  if (::sodium_init() < 0) return fail(ErrorCode::internal, "libsodium does not start");
  auto content = files.read(key_file, 4096);
  if (!content && content.error().code == ErrorCode::not_found) {
    CORRAL_CHECK(create_key(files, key_file));
    content = files.read(key_file, 4096);
  }
  if (!content) return std::unexpected(std::move(content).error());
  auto sealer = from_text(trim(*content), key_file);
  wipe(*content);
  CORRAL_CHECK(check_private(key_file));
  return sealer;
}

Result<std::unique_ptr<Sealer>> Sealer::from_text(std::string_view text, const sys::Path& file) {
  std::string raw;
  bool good = text.starts_with(kFilePrefix) && from_base64(text.substr(kFilePrefix.size()), raw) &&
              raw.size() == sizeof(Key);
  if (!good) {
    wipe(raw);
    return fail(ErrorCode::io, "the key file '" + file.string() + "' is damaged")
        .hint("restore it from a backup; without it the stored secrets must be entered again");
  }
  std::unique_ptr<Sealer> sealer(new Sealer);
  std::ranges::copy(raw, sealer->key_.begin());
  wipe(raw);
  std::array<unsigned char, crypto_generichash_BYTES> hash{};
  ::crypto_generichash(hash.data(), hash.size(), sealer->key_.data(), sealer->key_.size(), nullptr,
                       0);
  for (std::size_t i = 0; i < kKeyIdDigits / 2; ++i)
    sealer->key_id_ += fmt::format("{:02x}", hash[i]);
  return sealer;
}

Sealer::~Sealer() { ::sodium_memzero(key_.data(), key_.size()); }

// What is authenticated along with the ciphertext.
std::string Sealer::bound(std::string_view context) const {
  return std::string(kPrefix) + key_id_ + ":" + std::string(context);
}

std::string Sealer::seal(std::string_view secret, std::string_view context) const {
  std::string raw(kNonce + secret.size() + kTag, '\0');
  sys::fill_random({bytes(raw), kNonce});
  std::string along = bound(context);
  ::crypto_aead_xchacha20poly1305_ietf_encrypt(bytes(raw) + kNonce, nullptr, bytes(secret),
                                               secret.size(), bytes(std::string_view(along)),
                                               along.size(), nullptr, bytes(raw), key_.data());
  return std::string(kPrefix) + key_id_ + ":" + to_base64(raw);
}

bool Sealer::is_sealed(std::string_view text) { return text.starts_with(kPrefix); }

Result<std::string> Sealer::unseal(std::string_view sealed, std::string_view context) const {
  if (!is_sealed(sealed)) return fail(ErrorCode::invalid_argument, "this is no sealed secret");
  sealed.remove_prefix(kPrefix.size());
  if (sealed.size() <= kKeyIdDigits || sealed[kKeyIdDigits] != ':') return damaged();
  if (sealed.substr(0, kKeyIdDigits) != key_id_)
    return fail(ErrorCode::unavailable, "a secret was sealed with another key than " + key_id_)
        .hint("bring back the key file that belongs to this database, or enter the secret again");
  std::string raw;
  if (!from_base64(sealed.substr(kKeyIdDigits + 1), raw) || raw.size() < kNonce + kTag)
    return damaged();
  std::string secret(raw.size() - kNonce - kTag, '\0');
  std::string along = bound(context);
  if (::crypto_aead_xchacha20poly1305_ietf_decrypt(
          bytes(secret), nullptr, nullptr, bytes(std::string_view(raw)) + kNonce,
          raw.size() - kNonce, bytes(std::string_view(along)), along.size(),
          bytes(std::string_view(raw)), key_.data()) != 0)
    return damaged();
  return secret;
}

}  // namespace corral::store

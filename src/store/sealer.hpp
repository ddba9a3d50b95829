// Secrets at rest: encrypts and authenticates a text with a key that lies in a file of its own, so
// that the database, its backups and its exports do not give API keys away.
//
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) by libsodium, with a random nonce each time. A
// sealed text reads "sealed:v1:<key id>:<base64 of nonce and ciphertext>"; the key id is the first
// 8 bytes of a hash of the key, so a text that another key sealed is known as such. `context` says
// what the secret is of ("endpoint/gpu-1/api_key"): a sealed text that was moved elsewhere does not
// open there.
//
// Thread rule: immutable once opened; any thread. `open` blocks.
// Lifecycle: the key is wiped from memory at the end.
// Example:
//   CORRAL_TRY(auto sealer, Sealer::open(*files, data_folder / "secrets.key"));
//   std::string sealed = sealer->seal(api_key, "endpoint/gpu-1/api_key");
//   CORRAL_TRY(std::string key, sealer->unseal(sealed, "endpoint/gpu-1/api_key"));
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "sys/files.hpp"

namespace corral::store {

class Sealer {
 public:
  // Reads the key, or makes one if there is no such file. Of several processes that do so at once,
  // all get the same. io: the file is damaged. forbidden: others than its owner may read it.
  static Result<std::unique_ptr<Sealer>> open(sys::Files& files, const sys::Path& key_file);
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  ~Sealer();

  std::string seal(std::string_view secret, std::string_view context) const;

  // invalid_argument: not a sealed text, damaged, or sealed for another context. unavailable:
  // sealed with another key. The error never holds any of the text.
  Result<std::string> unseal(std::string_view sealed, std::string_view context) const;

  static bool is_sealed(std::string_view text);  // by its looks

  const std::string& key_id() const { return key_id_; }  // 16 hexadecimal digits

 private:
  using Key = std::array<unsigned char, 32>;
  Sealer() = default;
  static Result<std::unique_ptr<Sealer>> from_text(std::string_view text, const sys::Path& file);
  std::string bound(std::string_view context) const;

  Key key_{};
  std::string key_id_;
};

}  // namespace corral::store

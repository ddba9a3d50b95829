// Certificates made on the spot, as PEM files in a folder of the test.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace corral::net::testing {

struct Key {
  std::shared_ptr<EVP_PKEY> key{EVP_EC_gen("P-256"), EVP_PKEY_free};
};

struct Certificate {
  std::shared_ptr<X509> x509{X509_new(), X509_free};
  Key key;
};

inline void add_extension(Certificate& certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate.x509.get(), certificate.x509.get(), nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  X509_add_ext(certificate.x509.get(), extension, -1);
  X509_EXTENSION_free(extension);
}

// Signed by `issuer`, or by itself and then an authority. `names` as in
// "DNS:localhost,IP:127.0.0.1".
inline Certificate make_certificate(const std::string& common_name, const std::string& names,
                                    const Certificate* issuer, long valid_seconds = 3600) {
  Certificate made;
  X509* x509 = made.x509.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), issuer != nullptr ? 2 : 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
  X509_gmtime_adj(X509_getm_notAfter(x509), valid_seconds);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(x509, X509_get_subject_name(issuer != nullptr ? issuer->x509.get() : x509));
  X509_set_pubkey(x509, made.key.key.get());
  add_extension(made, NID_basic_constraints, issuer != nullptr ? "CA:FALSE" : "critical,CA:TRUE");
  if (!names.empty()) add_extension(made, NID_subject_alt_name, names);
  X509_sign(x509, (issuer != nullptr ? issuer->key : made.key).key.get(), EVP_sha256());
  return made;
}

inline std::string save(const std::filesystem::path& path, const Certificate& certificate) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  PEM_write_X509(file, certificate.x509.get());
  std::fclose(file);
  return path.string();
}

inline std::string save(const std::filesystem::path& path, const Key& key,
                        const char* passphrase = nullptr) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  PEM_write_PrivateKey(file, key.key.get(), passphrase != nullptr ? EVP_aes_128_cbc() : nullptr,
                       nullptr, 0, nullptr, const_cast<char*>(passphrase));
  std::fclose(file);
  return path.string();
}

}  // namespace corral::net::testing

// A catalog on an empty database of each kind, with a folder of blobs.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "models/catalog.hpp"
#include "models/sha256.hpp"
#include "models/tests/gguf_writer.hpp"
#include "store/migrations.hpp"
#include "store/tests/each_database.hpp"

namespace corral::models {

using store::Dialect;
using store::dialect_name;

// Blobs of which some are in use, and some cannot be removed.
class TestBlobs final : public BlobFolder {
 public:
  using BlobFolder::BlobFolder;
  bool in_use(const std::string& digest) const override { return digest == used; }
  Result<void> remove(const std::string& digest) override {
    if (digest == stuck) return fail(ErrorCode::io, "the disk failed");
    return BlobFolder::remove(digest);
  }
  void set_damaged(const std::string& digest, bool is) override {
    if (is)
      damaged.insert(digest);
    else
      damaged.erase(digest);
  }
  std::string used, stuck;
  std::set<std::string> damaged;
};

class CatalogTest : public store::EachDatabase {
 protected:
  void SetUp() override {
    store::EachDatabase::SetUp();
    ASSERT_OK(store::migrate(*database_, store::schema_migrations(), clock_));
    catalog_ =
        std::make_unique<Catalog>(CatalogParts{*database_, clock_, *files_, blobs_, kMachine});
  }

  static std::string digest_of(std::string_view bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.digest();
  }

  // A blob with these bytes, as a file of a version.
  CatalogFile blob(const std::string& name, const std::string& bytes,
                   FileRole role = FileRole::weights) {
    CatalogFile file{role, name, digest_of(bytes), bytes.size()};
    folder_.put(path(file.digest), bytes);
    return file;
  }
  sys::Path path(const std::string& digest) const { return blobs_.path_of(digest); }
  bool lies(const std::string& digest) const { return std::filesystem::exists(path(digest)); }

  // A GGUF model that differs from others by `mark`.
  CatalogFile weights(const std::string& mark) {
    return blob(mark + ".gguf", tiny_llama().string("general.description", mark).file());
  }
  static ModelVersion version(const std::string& name, std::vector<CatalogFile> files) {
    return {.name = name,
            .origin = "hf.co/" + name,
            .revision = "r1",
            .license = "mit",
            .files = std::move(files),
            .author = "ada",
            .added = {}};
  }
  CatalogModel put(const std::string& name, const std::string& mark) {
    auto made = catalog_->put(version(name, {weights(mark)}));
    EXPECT_TRUE(made) << ::testing::PrintToString(made.error());
    return made.value_or(CatalogModel());
  }
  std::vector<std::string> names(const CatalogQuery& query = {}) {
    std::vector<std::string> out;
    auto models = catalog_->list(query);
    EXPECT_TRUE(models) << ::testing::PrintToString(models.error());
    if (!models) return out;
    for (const auto& model : *models) out.push_back(model.name);
    return out;
  }

  static constexpr const char* kMachine = "0a";
  sys::ManualClock clock_;
  std::unique_ptr<sys::Files> files_ = sys::real_files();
  TestBlobs blobs_{*files_, folder_ / "blobs"};
  std::unique_ptr<Catalog> catalog_;
};

}  // namespace corral::models

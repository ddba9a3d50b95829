// Every query of the catalog that lists rows goes through an index, on both databases, with many
// rows there.
#include "models/file_index.hpp"
#include "models/machines.hpp"
#include "models/tests/catalog_fixture.hpp"
#include "models/usage_history.hpp"

namespace corral::models::catalog_plans_test {
namespace {

class CatalogPlans : public CatalogTest {
 protected:
  std::string plan(std::string_view sql, std::initializer_list<store::Value> parameters) {
    bool sqlite = GetParam() == Dialect::sqlite;
    auto rows = run((sqlite ? "explain query plan " : "explain ") + std::string(sql), parameters);
    std::string text;
    for (std::size_t i = 0; i < rows.size(); ++i)
      text += rows[i].text(sqlite ? 3 : 0).value_or("?") + "\n";
    return text;
  }

  static void expect_index(const std::string& plan) {
    EXPECT_TRUE(plan.contains("SEARCH") || plan.contains("Index ")) << plan;
    for (const char* bad : {"SCAN", "Seq Scan"}) EXPECT_FALSE(plan.contains(bad)) << plan;
  }
  // Nor is anything sorted.
  static void expect_order(const std::string& plan) {
    expect_index(plan);
    for (const char* bad : {"TEMP B-TREE", "Sort"}) EXPECT_FALSE(plan.contains(bad)) << plan;
  }

  // 10,000 models of one file each.
  void fill() {
    constexpr const char* kNumbers =
        "with recursive n (i) as (select 10000 union all select i + 1 from n where i < 19999) ";
    for (
        const char* text :
        {"insert into catalog_blobs select 'sha256:' || i, 5, "
         "7 from n",
         "insert into catalog_contents (fingerprint, bytes, metadata) select 'f' || i, 5, '{}' "
         "from n",
         "insert into catalog_models select 'model-' || i, 'model-' || i, 1, 7 from n",
         "insert into indexed_files select 'm' || (i % 3), '/m/' || i, '/m/' || i, 1, 2, 3, 4, "
         "'{}', 'd', null, "
         "case when i % 500 = 0 then 'bad' end from n",
         "insert into model_usage select 'model-' || (i % 100), 20000 + i / 100, 1, 2, 3, 4 from n",
         "insert into model_benchmarks (model, measured_ms, body) select 'model-' || (i % 500), i, "
         "'{}' from n"}) {
      run(std::string(kNumbers) + text);
    }
    run("insert into catalog_files select id, 0, 'weights', 'a', 'sha256:' || substr(fingerprint, "
        "2), 5 from catalog_contents");
    run("insert into catalog_versions select 'model-' || substr(fingerprint, 2), 1, id, '', '', "
        "'', "
        "'a', 8 from catalog_contents");
    for (const char* machine : {"'m' || (i % 3)", "''"}) {
      run(
          fmt::format("{}insert into catalog_places select 'sha256:' || i, {}, 5, 1, 2, "
                      "case when i % 100 = 0 then i end, null, "
                      "case when i % 500 = 0 then 'bad' end from n",
                      kNumbers, machine));
    }
    run("analyze");
  }
};
FOR_EACH_DATABASE(CatalogPlans);

TEST_P(CatalogPlans, ListsUseAnIndex) {
  fill();
  EXPECT_EQ(count("catalog_versions"), 10000);
  expect_order(plan(kListCatalog, {"model-15000", "%", 50}));
  expect_order(plan(kListCatalog, {"", "%5%", 50}));
  expect_index(plan(kListCatalogFiles, {"model-15000", "model-15049", "m1"}));
  expect_order(plan(kListCatalogVersions, {"model-15000", 100}));
  expect_order(plan(kUnusedBlobs, {"m1", 10500, 200}));
  expect_order(plan(kDamagedBlobs, {"m1", "", 100}));
  expect_order(plan(kUnclaimedBlobs, {"sha256:15000", 100}));
  expect_order(plan(kListIndexedFiles, {"m1", "/m/15000", 100}));
  expect_order(plan(kKnownDigests, {"m1", "/m/15000", 100}));
  expect_order(plan(kUsageDays, {"model-50", 30}));
  // Few rows of a machine or a model, which PostgreSQL may sort; and what is summed is sorted in
  // any case, but only of the days that count.
  expect_index(plan(kDamagedFiles, {"m1", "", 100}));
  expect_index(plan(kListBenchmarks, {"model-50", 20}));
  expect_index(plan(kMostUsed, {20195, 10}));
}

TEST_P(CatalogPlans, WhatAMachineLeavesIsFoundByIt) {
  fill();
  run("insert into machines with recursive n (i) as (select 10000 union all select i + 1 from n "
      "where i < 19999) select 'm' || i, i from n");
  run("analyze");
  expect_order(plan(kAwayMachines, {10005, "m1"}));
  expect_order(plan(kBlobsOfMachine, {"m1", 500}));
  expect_index(plan(kForgetFilesOfMachine, {"nobody"}));
}

TEST_P(CatalogPlans, SingleRowsAreFoundByTheirKeys) {
  fill();
  expect_index(plan("select name from catalog_models where folded = $1", {"model-15000"}));
  expect_index(plan("select 1 from catalog_files where digest = $1", {"sha256:15000"}));
  expect_index(plan("select 1 from catalog_versions where content = $1", {17}));
  expect_index(plan(kKnownBlob, {"sha256:15000", "m1"}));
  expect_index(plan("update catalog_places set unused_ms = null where digest = $1", {"sha256:1"}));
  expect_index(plan("delete from indexed_files where machine = $2 and model = $1 and path <> $1",
                    {"/m/15000", "m1"}));
}

}  // namespace
}  // namespace corral::models::catalog_plans_test

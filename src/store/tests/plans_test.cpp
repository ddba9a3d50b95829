// Every query that lists rows goes through an index, on both databases, with many rows there.
#include <fmt/core.h>

#include "store/migrations.hpp"
#include "store/resources.hpp"
#include "store/tests/each_database.hpp"

namespace corral::store::plans_test {
namespace {

class Plans : public EachDatabase {
 protected:
  // The database's own account of how it would run the statement.
  std::string plan(std::string_view sql, std::initializer_list<Value> parameters) {
    bool sqlite = GetParam() == Dialect::sqlite;
    auto rows = run((sqlite ? "explain query plan " : "explain ") + std::string(sql), parameters);
    std::string text;
    for (std::size_t i = 0; i < rows.size(); ++i)
      text += rows[i].text(sqlite ? 3 : 0).value_or("?") + "\n";
    return text;
  }

  // Rows are found through an index, in its order: no table is read whole, nothing is sorted.
  static void expect_index(const std::string& plan) {
    EXPECT_TRUE(plan.contains("SEARCH") || plan.contains("Index ")) << plan;
    for (const char* bad : {"SCAN", "TEMP B-TREE", "Seq Scan", "Sort"})
      EXPECT_FALSE(plan.contains(bad)) << plan;
  }

  void fill() {
    sys::RealClock clock;
    ASSERT_OK(migrate(*database_, schema_migrations(), clock));
    // 1000 documents of each of three kinds; 100 versions of every tenth.
    constexpr std::string_view kRows =
        "with recursive n (i) as (select 10000 union all select i + 1 from n where i < 10999), "
        "k (kind) as (select 'kind-0' union select 'kind-1' union select 'kind-2'), "
        "v (version) as (select 1 union all select version + 1 from v where version < 100) ";
    EXPECT_EQ(
        run(fmt::format("{}insert into resources select kind, 'name-' || i, 1, '{{}}', 'a', 0 "
                        "from n cross join k",
                        kRows))
            .changed(),
        3000);
    EXPECT_EQ(run(fmt::format("{}insert into resource_history "
                              "select kind, 'name-' || i, version, '{{}}', 'a', 0 "
                              "from n cross join k cross join v where i % 10 = 0",
                              kRows))
                  .changed(),
              30000);
    run("analyze");
  }
};
FOR_EACH_DATABASE(Plans);

TEST_P(Plans, ListsUseAnIndex) {
  fill();
  expect_index(plan(kListResources, {"kind-1", "name-10500", 50}));
  expect_index(plan(kListResources, {"kind-1", "", 50}));
  expect_index(plan(kListResourceHistory, {"kind-1", "name-10500", 50}));
  expect_index(plan(kNewestResourceVersion, {"kind-1", "name-10500"}));
}

TEST_P(Plans, AQueryWithoutAnIndexWouldBeSeen) {
  fill();
  auto text =
      plan("select name from resources where author > $1 order by author limit $2", {"a", 5});
  EXPECT_TRUE(text.contains("SCAN") || text.contains("Seq Scan")) << text;
}

}  // namespace
}  // namespace corral::store::plans_test

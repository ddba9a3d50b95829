// Settings that a search found, in the database.
#include "models/tuned_settings.hpp"

#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "base/json.hpp"
#include "models/tests/catalog_fixture.hpp"

namespace corral::models::tuned_settings_test {
namespace {

EngineChoice some_choice() {
  EngineChoice out;
  out.threads = 3;
  out.batch = 512;
  out.slots = 8;
  out.cache = CacheType::q8_0;
  out.repack = false;
  out.gpu_layers = 12;
  return out;
}

class Tuned : public CatalogTest {
 protected:
  TunedSettings settings(const std::string& model, const std::string& host = "here") {
    TunedSettings out;
    out.model = model;
    out.host = host;
    out.machine = "8 cores";
    out.file = "a.gguf 5 7";
    out.choice = some_choice();
    out.note = "batch 512: 12 % faster than the default";
    return out;
  }
  TunedStore store() { return {*database_, clock_}; }
};
FOR_EACH_DATABASE(Tuned);

TEST_P(Tuned, AreKeptByModelAndHost) {
  auto tuned = store();
  auto kept = tuned.put(settings("b"));
  ASSERT_OK(kept);
  EXPECT_EQ(kept->tuned, clock_.wall());
  ASSERT_OK(tuned.put(settings("a")));
  ASSERT_OK(tuned.put(settings("a", "elsewhere")));
  auto found = tuned.of_host("here");
  ASSERT_OK(found);
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[0].model, "a");
  EXPECT_EQ((*found)[1], *kept);
}

TEST_P(Tuned, TheNewestTakesThePlaceOfTheOneBefore) {
  auto tuned = store();
  ASSERT_OK(tuned.put(settings("a")));
  clock_.advance(std::chrono::hours(1));
  auto other = settings("a");
  other.choice = {};
  other.choice.batch = 128;
  other.file = "b.gguf 1 1";
  ASSERT_OK(tuned.put(other));
  auto found = tuned.of_host("here");
  ASSERT_OK(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().choice.batch, 128u);
  EXPECT_FALSE(found->front().choice.threads.has_value());
  EXPECT_EQ(found->front().file, "b.gguf 1 1");
  EXPECT_EQ(found->front().tuned, clock_.wall());
}

TEST_P(Tuned, AreForgotten) {
  auto tuned = store();
  ASSERT_OK(tuned.put(settings("a")));
  ASSERT_OK(tuned.put(settings("a", "elsewhere")));
  EXPECT_TRUE(tuned.forget("a", "here").value());
  EXPECT_FALSE(tuned.forget("a", "here").value());
  EXPECT_TRUE(tuned.of_host("here")->empty());
  EXPECT_EQ(tuned.of_host("elsewhere")->size(), 1u);
}

TEST_P(Tuned, WhatCannotBeReadIsPassedOver) {
  auto tuned = store();
  ASSERT_OK(tuned.put(settings("a")));
  ASSERT_OK(tuned.put(settings("b")));
  run("update tuned_settings set settings = '{\"threads\": -1}' where model = 'a'");
  EXPECT_EQ(tuned.of_host("here")->size(), 1u);
  run("update tuned_settings set settings = '{' where model = 'b'");
  EXPECT_TRUE(tuned.of_host("here")->empty());
}

TEST_P(Tuned, AreListedThroughTheirKey) {
  run("insert into tuned_settings with recursive n (i) as (select 10000 union all select i + 1 "
      "from n where i < 19999) select 'host-' || (i % 100), 'model-' || i, '', '', '{}', '', 1 "
      "from n");
  run("analyze");
  const bool sqlite = GetParam() == Dialect::sqlite;
  auto rows =
      run((sqlite ? "explain query plan " : "explain ") + std::string(kListTuned), {"host-50", 10});
  std::string plan;
  for (std::size_t i = 0; i < rows.size(); ++i)
    plan += rows[i].text(sqlite ? 3 : 0).value_or("?") + "\n";
  EXPECT_TRUE(plan.contains("SEARCH") || plan.contains("Index ")) << plan;
  EXPECT_FALSE(plan.contains("SCAN") || plan.contains("Seq Scan")) << plan;
}

TEST(EngineChoiceJson, GoesThereAndBack) {
  const auto read = engine_choice_of(boost::json::value(to_json(some_choice())));
  ASSERT_OK(read);
  EXPECT_EQ(*read, some_choice());
  EXPECT_EQ(engine_choice_of(boost::json::value(to_json({}))).value(), EngineChoice{});
}

TEST(EngineChoiceJson, RefusesWhatItIsNot) {
  for (const char* text : {"[]", R"({"threads":"4"})", R"({"batch":-1})", R"({"slots":1e3})",
                           R"({"gpu_layers":99999999999})", R"({"cache_type":"q9"})",
                           R"({"cache_type":1})", R"({"repack":1})"}) {
    EXPECT_FALSE(engine_choice_of(json::parse(text).value())) << text;
  }
}

TEST(FileMark, TellsFilesApart) {
  ModelEntry one;
  one.files.push_back({"/models/a.gguf", 5, sys::Wall(std::chrono::nanoseconds(7)), 1, 2});
  ModelEntry moved = one;
  moved.files[0].path = "/other/a.gguf";
  EXPECT_EQ(file_mark(one), "a.gguf 5 7");
  EXPECT_EQ(file_mark(one), file_mark(moved));
  ModelEntry changed = one;
  changed.files[0].size = 6;
  EXPECT_NE(file_mark(one), file_mark(changed));
  ModelEntry longer = one;
  longer.files.push_back(one.files[0]);
  EXPECT_EQ(file_mark(longer), "a.gguf 5 7; a.gguf 5 7");
}

}  // namespace
}  // namespace corral::models::tuned_settings_test

#include "base/stable_sort.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>

namespace corral::stable_sort_test {
namespace {

struct Item {
  std::size_t key;
  std::size_t place;
};

TEST(SortStably, EqualsKeepTheirOrder) {
  std::mt19937 random(1);
  for (std::size_t count : {0, 1, 2, 5, 17, 500}) {
    std::vector<Item> items;
    items.reserve(count);
    for (std::size_t i = 0; i < count; ++i) items.push_back({random() % 4, i});
    auto up = items;
    sort_stably(up, {}, &Item::key);
    auto down = items;
    sort_stably(down, std::greater(), &Item::key);
    ASSERT_EQ(up.size(), count);
    ASSERT_EQ(down.size(), count);
    for (std::size_t i = 1; i < count; ++i) {
      EXPECT_TRUE(up[i - 1].key < up[i].key ||
                  (up[i - 1].key == up[i].key && up[i - 1].place < up[i].place));
      EXPECT_TRUE(down[i - 1].key > down[i].key ||
                  (down[i - 1].key == down[i].key && down[i - 1].place < down[i].place));
    }
  }
}

TEST(SortStably, SortsWhatCanOnlyBeMoved) {
  std::vector<std::unique_ptr<std::string>> items;
  for (const char* text : {"c", "a", "b"}) items.push_back(std::make_unique<std::string>(text));
  sort_stably(items, {}, [](const auto& item) -> const std::string& { return *item; });
  EXPECT_EQ(*items[0] + *items[1] + *items[2], "abc");
}

}  // namespace
}  // namespace corral::stable_sort_test

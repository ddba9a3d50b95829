// A sort that leaves equals in their order. std::stable_sort does so too, but with libstdc++ 12 it
// uses what that library itself has deprecated, and each use is a warning.
//
// The items are moved once each. Example: sort_stably(devices, std::greater(), &Device::memory);
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

namespace corral {

template <class T, class Compare = std::ranges::less, class Projection = std::identity>
void sort_stably(std::vector<T>& items, Compare compare = {}, Projection projection = {}) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  auto before = [&](std::size_t a, std::size_t b) -> bool {
    return std::invoke(compare, std::invoke(projection, items[a]),
                       std::invoke(projection, items[b]));
  };
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return before(a, b) || (a < b && !before(b, a));
  });
  std::vector<T> sorted;
  sorted.reserve(items.size());
  for (auto index : order) sorted.push_back(std::move(items[index]));
  items = std::move(sorted);
}

}  // namespace corral

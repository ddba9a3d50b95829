// The prepared statements of one connection, by their text; the least recently used goes first.
// Thread rule: one owner.
#pragma once

#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace corral::store {

template <class Statement>
class StatementCache {
 public:
  explicit StatementCache(std::size_t most) : most_(most) {}

  // The statement of that text, which becomes the most recently used; null if there is none.
  Statement* find(std::string_view text) {
    auto found = index_.find(text);
    if (found == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return &found->second->second;
  }

  Statement& put(std::string text, Statement statement) {
    order_.emplace_front(std::move(text), std::move(statement));
    index_[order_.front().first] = order_.begin();
    return order_.front().second;
  }

  // When full, the statement to be given up for the next one; null otherwise.
  Statement* oldest_if_full() { return order_.size() < most_ ? nullptr : &order_.back().second; }

  void drop_oldest() {
    index_.erase(order_.back().first);
    order_.pop_back();
  }

  void clear() {
    index_.clear();
    order_.clear();
  }
  std::size_t size() const { return order_.size(); }

 private:
  using Order = std::list<std::pair<std::string, Statement>>;

  std::size_t most_;
  Order order_;
  std::unordered_map<std::string_view, typename Order::iterator> index_;
};

inline constexpr std::size_t kPreparedStatements = 64;  // a connection

}  // namespace corral::store

// The answer to one statement: rows that were read whole, and how many rows it changed.
//
// A list query always carries a limit, so holding the answer in memory is bounded by its caller.
// Thread rule: plain values. A Row and a RowReader refer to their Rows and must not outlive them.
// Example:
//   for (std::size_t i = 0; i < rows.size(); ++i) {
//     RowReader read(rows[i]);
//     Person person{.name = read.text(), .age = read.integer(), .email = read.optional_text()};
//     CORRAL_CHECK(read.done());
//   }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "store/value.hpp"

namespace corral::store {

class Rows;

class Row {
 public:
  Row(const Rows& rows, std::size_t index) : rows_(&rows), index_(index) {}

  // The value in a column, counted from 0. Past the last column it is NULL.
  const Value& operator[](std::size_t column) const;

  // Errors `internal` when the column is NULL, of another type or missing: then the schema is not
  // what this program made.
  Result<std::int64_t> integer(std::size_t column) const;
  Result<double> real(std::size_t column) const;  // an integer is taken too
  Result<std::string> text(std::size_t column) const;
  Result<Blob> blob(std::size_t column) const;

 private:
  template <class T>
  Result<T> typed(std::size_t column, const char* wanted) const;

  const Rows* rows_;
  std::size_t index_;
};

// Reads a row's columns from left to right and remembers the first error.
class RowReader {
 public:
  explicit RowReader(Row row) : row_(row) {}

  std::int64_t integer();
  double real();
  std::string text();
  std::optional<std::string> optional_text();
  Blob blob();
  sys::Wall time();
  Result<void> done();  // the first error, if there was any

 private:
  template <class T>
  T take(Result<T> value);

  Row row_;
  std::size_t next_ = 0;
  std::optional<Error> error_;
};

class Rows {
 public:
  Rows() = default;
  Rows(std::size_t columns, std::vector<Value> cells, std::int64_t changed)
      : columns_(columns), cells_(std::move(cells)), changed_(changed) {}

  std::size_t columns() const { return columns_; }
  std::size_t size() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  bool empty() const { return size() == 0; }
  Row operator[](std::size_t index) const { return {*this, index}; }
  std::int64_t changed() const { return changed_; }  // rows inserted, updated or deleted
  const Value& cell(std::size_t row, std::size_t column) const;

  // The integer in the first column of the only row (`select count(*)`).
  Result<std::int64_t> single_integer() const;

 private:
  std::size_t columns_ = 0;
  std::vector<Value> cells_;  // row after row
  std::int64_t changed_ = 0;
};

}  // namespace corral::store

#include "store/rows.hpp"

#include <fmt/core.h>

#include <array>

namespace corral::store {
namespace {

constexpr std::array kTypeNames = {"null", "an integer", "a real number", "text", "bytes"};

}  // namespace

const Value& Rows::cell(std::size_t row, std::size_t column) const {
  static const Value null;
  std::size_t at = row * columns_ + column;
  return column < columns_ && at < cells_.size() ? cells_[at] : null;
}

Result<std::int64_t> Rows::single_integer() const {
  if (size() != 1)
    return fail(ErrorCode::internal, fmt::format("one row was expected, {} came", size()));
  return (*this)[0].integer(0);
}

const Value& Row::operator[](std::size_t column) const { return rows_->cell(index_, column); }

template <class T>
Result<T> Row::typed(std::size_t column, const char* wanted) const {
  const Value& value = (*this)[column];
  if (const T* held = std::get_if<T>(&value.held())) return *held;
  return fail(ErrorCode::internal,
              fmt::format("column {} of the answer holds {}, not {}", column + 1,
                          kTypeNames[value.held().index()], wanted))
      .hint("the database was changed by something else than this program");
}

Result<std::int64_t> Row::integer(std::size_t column) const {
  return typed<std::int64_t>(column, kTypeNames[1]);
}

Result<double> Row::real(std::size_t column) const {
  const Value& value = (*this)[column];
  if (const auto* whole = std::get_if<std::int64_t>(&value.held()))
    return static_cast<double>(*whole);
  return typed<double>(column, kTypeNames[2]);
}

Result<std::string> Row::text(std::size_t column) const {
  return typed<std::string>(column, kTypeNames[3]);
}

Result<Blob> Row::blob(std::size_t column) const { return typed<Blob>(column, kTypeNames[4]); }

template <class T>
T RowReader::take(Result<T> value) {
  if (value) return std::move(*value);
  if (!error_) error_ = std::move(value).error();
  return T{};
}

std::int64_t RowReader::integer() { return take(row_.integer(next_++)); }
double RowReader::real() { return take(row_.real(next_++)); }
std::string RowReader::text() { return take(row_.text(next_++)); }
Blob RowReader::blob() { return take(row_.blob(next_++)); }
sys::Wall RowReader::time() { return from_milliseconds(integer()); }

std::optional<std::string> RowReader::optional_text() {
  if (row_[next_].is_null()) {
    ++next_;
    return std::nullopt;
  }
  return text();
}

Result<void> RowReader::done() {
  if (error_) return std::unexpected(*error_);
  return {};
}

}  // namespace corral::store

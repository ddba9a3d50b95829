#include "store/connection.hpp"

#include <fmt/core.h>

#include <cmath>
#include <utility>

#include "base/text.hpp"
#include "store/driver.hpp"

namespace corral::store {
namespace {

Result<void> check_parameter(const Value& value, std::size_t number) {
  const auto& held = value.held();
  if (const auto* text = std::get_if<std::string>(&held)) {
    if (text->contains('\0'))
      return fail(ErrorCode::invalid_argument, fmt::format("text ${} holds a NUL", number));
    if (!is_utf8(*text))
      return fail(ErrorCode::invalid_argument, fmt::format("text ${} is not UTF-8", number));
  }
  if (const auto* real = std::get_if<double>(&held); real != nullptr && !std::isfinite(*real))
    return fail(ErrorCode::invalid_argument, fmt::format("number ${} is not finite", number));
  return {};
}

}  // namespace

Connection::Connection(Dialect dialect, std::unique_ptr<Driver> driver)
    : dialect_(dialect), driver_(std::move(driver)) {}

Connection::~Connection() { roll_back(); }

Result<void> Connection::connect() {
  if (driver_->alive()) return {};
  return driver_->connect();
}

Result<void> Connection::ready() {
  if (state_ == State::failed)
    return fail(ErrorCode::internal, "the transaction failed before and can only be rolled back");
  if (state_ == State::idle) return connect();
  return {};
}

Result<Rows> Connection::run(std::string_view sql, std::span<const Value> parameters) {
  CORRAL_CHECK(ready());
  Result<Rows> rows = [&]() -> Result<Rows> {
    for (std::size_t i = 0; i < parameters.size(); ++i)
      CORRAL_CHECK(check_parameter(parameters[i], i + 1));
    return driver_->run(sql, parameters);
  }();
  if (!rows && state_ == State::open) state_ = State::failed;
  return rows;
}

Result<void> Connection::script(std::string_view sql) {
  CORRAL_CHECK(ready());
  Result<void> done = [&]() -> Result<void> {
    CORRAL_TRY(std::string text, expand(dialect_, sql));
    return driver_->script(text);
  }();
  if (!done && state_ == State::open) state_ = State::failed;
  return done;
}

Result<void> Connection::begin() {
  if (state_ != State::idle)
    return fail(ErrorCode::internal, "the connection is inside a transaction already");
  CORRAL_CHECK(run(begin_statement(dialect_)));
  state_ = State::open;
  return {};
}

Result<void> Connection::commit() {
  CORRAL_CHECK(ready());
  auto done = driver_->run("commit", {});
  if (!done) {
    state_ = State::failed;
    return std::unexpected(std::move(done).error());
  }
  state_ = State::idle;
  return {};
}

void Connection::roll_back() {
  if (state_ == State::idle) return;
  state_ = State::idle;
  // A connection that cannot even roll back is of no more use; the next use makes it anew.
  if (!driver_->roll_back()) driver_->disconnect();
}

Result<Transaction> Transaction::begin(Connection& connection) {
  CORRAL_CHECK(connection.begin());
  return Transaction(connection);
}

Transaction::Transaction(Transaction&& other) noexcept
    : connection_(std::exchange(other.connection_, nullptr)) {}

Result<void> Transaction::commit() {
  if (connection_ == nullptr) return fail(ErrorCode::internal, "the transaction has ended already");
  auto done = connection_->commit();
  if (!done) roll_back();
  connection_ = nullptr;
  return done;
}

void Transaction::roll_back() {
  if (connection_ != nullptr) std::exchange(connection_, nullptr)->roll_back();
}

}  // namespace corral::store

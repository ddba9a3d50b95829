// The one place where the two databases' SQL differs.
//
// Statements are written once, for both, in what they share: parameters as $1, $2, ...; `insert ...
// on conflict (...) do update set x = excluded.x`; `returning`; ISO joins; `limit $n`. For the
// rest, a word in braces stands for what each dialect says:
//
//   {id}          integer key that the database hands out, never twice     (column type)
//   {int}         64-bit integer; also for times in milliseconds and truth values
//   {real}        double
//   {text}        UTF-8, compared and sorted by its bytes: 'Z' < 'a'. PostgreSQL would otherwise
//                 sort by the language of its installation
//   {blob}        bytes
//   {strict}      after a table's closing parenthesis: SQLite checks types like PostgreSQL
//   {keyed}       the same, and the rows lie in their primary key (for tables read by key)
//   {for_update}  after a select inside a transaction: rows stay as they are until its end. SQLite
//                 says nothing, since a writing transaction already has the database to itself
//   {field:C:K}   the string member K of the JSON object in text column C, NULL if there is none.
//                 For other members the databases' texts differ (true is 1 in SQLite)
//
// Thread rule: free functions.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace corral::store {

enum class Dialect { sqlite, postgresql };

std::string_view to_string(Dialect dialect);

// Replaces the words in braces. invalid_argument: a word that is none of the above. Braces that
// hold no lower-case word first ('{}', '{"a":1}') are left alone.
Result<std::string> expand(Dialect dialect, std::string_view sql);

// The highest N of the parameters $N in a statement; strings, quoted names and comments do not
// count.
std::size_t count_parameters(std::string_view sql);

// Makes the open transaction the only one that migrates, and lets its statements take their time.
// Empty where beginning the transaction did that.
std::string_view migration_lock(Dialect dialect);

// Starts a transaction that writes. SQLite takes the lock at once: taking it between a read and a
// write fails, in spite of the busy timeout, whenever somebody else wrote meanwhile.
std::string_view begin_statement(Dialect dialect);

// One row if there is a table of the name $1 that this connection's statements would find.
std::string_view has_table_query(Dialect dialect);

}  // namespace corral::store

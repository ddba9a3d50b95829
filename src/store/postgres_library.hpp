// libpq's functions, loaded when the first PostgreSQL URL is opened. Internal to the module.
//
// Thread rule: immutable once loaded; any thread. libpq itself: one thread a connection.
#pragma once

#include <libpq-fe.h>

#include <memory>

#include "base/error.hpp"

namespace corral::store {

// clang-format off
#define CORRAL_LIBPQ_FUNCTIONS(X)                                                      \
  X(PQconnectdbParams) X(PQfinish) X(PQstatus) X(PQerrorMessage) X(PQparameterStatus)  \
  X(PQconsumeInput) X(PQisBusy) X(PQexec) X(PQprepare) X(PQexecPrepared)               \
  X(PQresultStatus) X(PQresultErrorField) X(PQclear) X(PQntuples) X(PQnfields)         \
  X(PQftype) X(PQgetvalue) X(PQgetlength) X(PQgetisnull) X(PQcmdStatus) X(PQcmdTuples) \
  X(PQtransactionStatus) X(PQsetNoticeReceiver) X(PQisthreadsafe)
// clang-format on

class PostgresLibrary {
 public:
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declared name takes none
#define CORRAL_DECLARE(name) decltype(&::name) name = nullptr;
  CORRAL_LIBPQ_FUNCTIONS(CORRAL_DECLARE)
#undef CORRAL_DECLARE
};

}  // namespace corral::store

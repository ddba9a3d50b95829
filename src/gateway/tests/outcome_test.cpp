#include "gateway/core/outcome.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace corral::gateway::outcome_test {
namespace {

constexpr std::array kAll{Outcome::success,      Outcome::connect_error, Outcome::timeout,
                          Outcome::server_error, Outcome::rubbish,       Outcome::rate_limited,
                          Outcome::client_error, Outcome::lacking,       Outcome::cancelled};

TEST(Outcome, OnlyFailuresOfTheEndpointCountAgainstIt) {
  std::set<Outcome> counted;
  std::set<Outcome> again;
  for (auto outcome : kAll) {
    if (counts_against_endpoint(outcome)) counted.insert(outcome);
    if (retryable(outcome)) again.insert(outcome);
  }
  std::set<Outcome> failures{Outcome::connect_error, Outcome::timeout, Outcome::server_error,
                             Outcome::rubbish};
  EXPECT_EQ(counted, failures);
  failures.insert(Outcome::rate_limited);
  failures.insert(Outcome::lacking);
  EXPECT_EQ(again, failures);
}

TEST(Outcome, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (auto outcome : kAll) names.insert(to_string(outcome));
  EXPECT_EQ(names.size(), kAll.size());
  EXPECT_EQ(to_string(Outcome::rate_limited), "rate_limited");
  EXPECT_EQ(to_string(static_cast<Outcome>(99)), "unknown");
  EXPECT_FALSE(counts_against_endpoint(static_cast<Outcome>(99)));
}

TEST(Outcome, OfErrors) {
  auto of = [](ErrorCode code) { return outcome_of(fail(code, "x")); };
  EXPECT_EQ(of(ErrorCode::unavailable), Outcome::connect_error);
  EXPECT_EQ(of(ErrorCode::timeout), Outcome::timeout);
  EXPECT_EQ(of(ErrorCode::upstream), Outcome::rubbish);
  EXPECT_EQ(of(ErrorCode::rate_limited), Outcome::rate_limited);
  for (auto code :
       {ErrorCode::invalid_argument, ErrorCode::unauthenticated, ErrorCode::forbidden,
        ErrorCode::not_found, ErrorCode::conflict, ErrorCode::too_large, ErrorCode::unsupported}) {
    EXPECT_EQ(of(code), Outcome::client_error) << to_string(code);
  }
  for (auto code : {ErrorCode::internal, ErrorCode::io, ErrorCode::cancelled}) {
    EXPECT_EQ(of(code), Outcome::cancelled) << to_string(code);
  }
}

TEST(Outcome, TheStatusOfThePeerSaysMore) {
  auto of = [](ErrorCode code, int status) {
    Error error = fail(code, "x");
    error.peer_status = status;
    return outcome_of(error);
  };
  EXPECT_EQ(of(ErrorCode::upstream, 500), Outcome::server_error);
  EXPECT_EQ(of(ErrorCode::unavailable, 503), Outcome::server_error);
  EXPECT_EQ(of(ErrorCode::rate_limited, 429), Outcome::rate_limited);
  EXPECT_EQ(of(ErrorCode::not_found, 404), Outcome::client_error);
  // The binding read a refusal of the prompt out of it.
  EXPECT_EQ(of(ErrorCode::invalid_argument, 500), Outcome::client_error);
}

TEST(Outcome, AModelIsLackingByTheWordOfTheBackendAlone) {
  Error error = fail(ErrorCode::not_found, "no such model");
  EXPECT_FALSE(lacks_model(error));  // ours
  error.peer_status = 404;
  EXPECT_TRUE(lacks_model(error));
  error.code = ErrorCode::invalid_argument;  // the binding read something else out of it
  EXPECT_FALSE(lacks_model(error));
}

TEST(Outcome, OfStatuses) {
  EXPECT_EQ(outcome_of_status(200), Outcome::success);
  EXPECT_EQ(outcome_of_status(204), Outcome::success);
  for (int status : {400, 404, 413, 422, 499, 501}) {
    EXPECT_EQ(outcome_of_status(status), Outcome::client_error) << status;
  }
  for (int status : {401, 403, 407, 500, 502, 503, 599}) {
    EXPECT_EQ(outcome_of_status(status), Outcome::server_error) << status;
  }
  EXPECT_EQ(outcome_of_status(408), Outcome::timeout);
  EXPECT_EQ(outcome_of_status(504), Outcome::timeout);
  EXPECT_EQ(outcome_of_status(429), Outcome::rate_limited);
  for (int status : {0, -1, 100, 302, 600, 1000}) {
    EXPECT_EQ(outcome_of_status(status), Outcome::rubbish) << status;
  }
}

TEST(Outcome, TheMoreMeaningfulOfTwo) {
  EXPECT_EQ(more_meaningful(Outcome::connect_error, Outcome::server_error), Outcome::server_error);
  EXPECT_EQ(more_meaningful(Outcome::client_error, Outcome::server_error), Outcome::client_error);
  EXPECT_EQ(more_meaningful(Outcome::cancelled, Outcome::timeout), Outcome::timeout);
  EXPECT_EQ(more_meaningful(Outcome::rate_limited, Outcome::rubbish), Outcome::rubbish);
  // It is a total order, so the order of asking does not matter.
  for (auto a : kAll) {
    for (auto b : kAll) {
      if (a == Outcome::success || b == Outcome::success) continue;
      EXPECT_EQ(more_meaningful(a, b), more_meaningful(b, a));
    }
  }
}

}  // namespace
}  // namespace corral::gateway::outcome_test

// Benchmarks over the admin API: begun, followed, cancelled, read, forgotten.
#include "api/admin/bench_admin.hpp"

#include <gmock/gmock.h>

#include "api/admin/operation_admin.hpp"
#include "api/tests/api_fixture.hpp"
#include "base/tests/support/source_dir.hpp"
#include "models/tuned_settings.hpp"
#include "models/usage_history.hpp"
#include "scheduler/benches.hpp"
#include "sys/host.hpp"

namespace corral::api::bench_admin_test {
namespace {

using ::testing::HasSubstr;

namespace bj = boost::json;

std::string field_of(std::string_view body) {
  auto options = admin::read_bench_options(body);
  EXPECT_FALSE(options) << body;
  return options ? std::string() : options.error().param;
}

TEST(BenchOptionsInJson, AllOfThem) {
  auto options = admin::read_bench_options(
      R"({"prompts": [64, 128], "concurrency": [1], "tokens": 5, "repeats": 2, "budget": "90s",
          "purpose": "embedding", "tune": true, "smaller_cache": true})");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->prompts, (std::vector<unsigned>{64, 128}));
  EXPECT_EQ(options->concurrency, std::vector<unsigned>{1});
  EXPECT_EQ(options->tokens, 5u);
  EXPECT_EQ(options->repeats, 2u);
  EXPECT_EQ(options->budget, 90s);
  EXPECT_EQ(options->purpose, engines::Purpose::embedding);
  EXPECT_TRUE(options->tune);
  EXPECT_TRUE(options->smaller_cache);
  for (const char* nothing : {"", " ", "{}"}) {
    auto read = admin::read_bench_options(nothing);
    ASSERT_TRUE(read);
    EXPECT_FALSE(read->tune);
    EXPECT_TRUE(read->prompts.empty());
  }
  EXPECT_EQ(admin::read_bench_options(R"({"purpose": "chat"})")->purpose, engines::Purpose::chat);
}

TEST(BenchOptionsInJson, WrongOnesNameTheField) {
  EXPECT_EQ(field_of(R"({"prompts": 5})"), "prompts");
  EXPECT_EQ(field_of(R"({"prompts": [-1]})"), "prompts");
  EXPECT_EQ(field_of(R"({"concurrency": ["1"]})"), "concurrency");
  EXPECT_EQ(field_of(R"({"tokens": 1.5})"), "tokens");
  EXPECT_EQ(field_of(R"({"repeats": 99999999999})"), "repeats");
  EXPECT_EQ(field_of(R"({"budget": 5})"), "budget");
  EXPECT_EQ(field_of(R"({"budget": "soon"})"), "budget");
  EXPECT_EQ(field_of(R"({"budget": "0s"})"), "budget");
  EXPECT_EQ(field_of(R"({"purpose": "speech"})"), "purpose");
  EXPECT_EQ(field_of(R"({"tune": 1})"), "tune");
  EXPECT_EQ(field_of(R"({"smaller_cache": null})"), "smaller_cache");
  EXPECT_EQ(field_of(R"({"speed": "high"})"), "speed");
  EXPECT_EQ(field_of("[]"), "");
  EXPECT_EQ(field_of("{"), "");
}

class BenchAdminTest : public ApiTest {
 protected:
  void before_scheduler() override {
    world_.settings.llama_server.path =
        test::source_file("src/scheduler/tests/fake_bench_engine.py");
    world_.settings.llama_server.extra_arguments = engine_;
    history_ = std::make_unique<models::UsageHistory>(*database_, world_.clock());
    tuned_ = std::make_unique<models::TunedStore>(*database_, world_.clock());
  }
  void more_surfaces() override {
    benches_ = std::make_unique<scheduler::Benches>(scheduler::BenchesParts{
        *world_.scheduler, world_.loops.shards().control(), world_.pool(), world_.clock(),
        telemetry::Logger(world_.log, "benchmarks"), *history_, *tuned_});
    bench_admin_ = std::make_unique<admin::BenchAdmin>(*benches_);
    operation_admin_ = std::make_unique<admin::OperationAdmin>(admin_->running());
    admin_->running().add_source(*bench_admin_);
    bench_admin_->add_routes(api_->router());
    operation_admin_->add_routes(api_->router());
  }
  ~BenchAdminTest() override {
    auto& control = world_.loops.shards().control();
    if (benches_) world_.loops.run(control, benches_->stop());
    if (admin_) world_.loops.run(control, admin_->stop());
    if (world_.scheduler) world_.loops.run(control, world_.scheduler->stop());
  }
  bj::value json_of(const std::string& answer) {
    auto document = json::parse(body_of(answer));
    EXPECT_TRUE(document) << answer;
    return document.value_or(nullptr);
  }
  std::string begin(const std::string& body, const std::string& model = "tiny") {
    return request("POST", "/admin/v1/models/" + model + "/bench", body);
  }
  bool in_state(const std::string& id, const std::string& state) {
    return eventually(
        [&] { return json_of(get("/admin/v1/operations/" + id)).at("state") == state.c_str(); },
        60s);
  }

  std::vector<std::string> engine_;
  std::unique_ptr<models::UsageHistory> history_;
  std::unique_ptr<models::TunedStore> tuned_;
  std::unique_ptr<scheduler::Benches> benches_;
  std::unique_ptr<admin::BenchAdmin> bench_admin_;
  std::unique_ptr<admin::OperationAdmin> operation_admin_;
};

TEST_F(BenchAdminTest, BeginsAndKeeps) {
  start();
  auto answer = begin(R"({"prompts": [16], "tokens": 4, "concurrency": [1], "repeats": 1})");
  EXPECT_EQ(status_of(answer), 202) << answer;
  EXPECT_THAT(answer, HasSubstr("/admin/v1/operations/bench-1"));
  EXPECT_EQ(json_of(answer).at("kind"), "bench");
  EXPECT_EQ(json_of(answer).at("state"), "running");
  ASSERT_TRUE(in_state("bench-1", "succeeded"));
  auto past = json_of(get("/admin/v1/models/tiny/benchmarks"));
  ASSERT_EQ(past.at("benchmarks").as_array().size(), 1u);
  EXPECT_TRUE(past.at("tuned").is_null());
  EXPECT_EQ(past.at("benchmarks").at(0).at("result").at("operation"), "bench-1");
  EXPECT_EQ(json_of(get("/admin/v1/models/nobody/benchmarks")).at("benchmarks").as_array().size(),
            0u);
  EXPECT_THAT(get("/admin/v1/operations"), HasSubstr("bench-1"));
}

TEST_F(BenchAdminTest, BadOptionsAreRefusedByName) {
  start();
  auto answer = begin(R"({"repeats": 0})");
  EXPECT_EQ(status_of(answer), 422);
  EXPECT_THAT(answer, HasSubstr("repeats"));
  EXPECT_EQ(status_of(begin(R"({"speed": 1})")), 422);
  EXPECT_EQ(status_of(begin(R"({"prompts": [100000]})")), 422);
  EXPECT_EQ(status_of(begin("{}", "nobody")), 404);
  EXPECT_EQ(status_of(get("/admin/v1/models/tiny/benchmarks?limit=0")), 422);
}

TEST_F(BenchAdminTest, OneAtATimeAndCancelledByHand) {
  engine_ = {"--fake-stuck"};
  start();
  EXPECT_EQ(status_of(begin("")), 202);
  EXPECT_EQ(status_of(begin("")), 409);
  auto paused = request("POST", "/admin/v1/operations/bench-1/pause", "");
  EXPECT_EQ(status_of(paused), 409);
  auto cancelled = request("POST", "/admin/v1/operations/bench-1/cancel", "");
  EXPECT_EQ(status_of(cancelled), 200);
  EXPECT_EQ(json_of(cancelled).at("state"), "cancelled");
  EXPECT_EQ(json_of(get("/admin/v1/instances")).at("instances").as_array().size(), 0u);
}

TEST_F(BenchAdminTest, WhatWasTunedIsForgotten) {
  start();
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/tiny/tuned", "")), 404);
  models::TunedSettings kept;
  kept.model = "tiny";
  kept.host = sys::host_facts().hostname;
  ASSERT_TRUE(tuned_->put(kept));
  EXPECT_EQ(status_of(request("DELETE", "/admin/v1/models/tiny/tuned", "")), 204);
}

}  // namespace
}  // namespace corral::api::bench_admin_test

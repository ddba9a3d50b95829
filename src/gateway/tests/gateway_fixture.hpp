// The gateway with all its drivers on real event loops, over a binding that plays its endpoints.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "gateway/dispatcher.hpp"
#include "gateway/endpoint_registry.hpp"
#include "gateway/routing.hpp"
#include "gateway/tests/fakes.hpp"
#include "net/tests/test_support.hpp"

namespace corral::gateway {

using namespace std::chrono_literals;
using net::testing::eventually;
using net::testing::Loops;

// Log records as lines "message key=value ...".
class LinesSink final : public telemetry::LogSink {
 public:
  bool enabled(telemetry::LogLevel) const override { return true; }
  void write(const telemetry::LogRecord& record) override {
    std::string line(record.message);
    for (const auto& field : record.fields) {
      line += fmt::format(" {}=", field.key);
      std::visit([&](const auto& value) { line += fmt::format("{}", value); }, field.value);
    }
    std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  void flush() override {}
  bool contains(std::string_view text) const {
    std::lock_guard lock(mutex_);
    for (const auto& line : lines_) {
      if (line.contains(text)) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// One request, from its beginning to its answer or error.
struct Call {
  inference::Request request;
  std::string body = R"({"messages":[{"role":"user","content":"hello"}]})";
  Caller caller;
  std::unique_ptr<net::TaskGroup> group;
  net::Shard* shard = nullptr;
  std::optional<Result<Dispatched>> result;
  std::atomic<bool> done{false};

  void end(Result<void> opened, Dispatched answer) {
    if (opened) {
      result.emplace(std::move(answer));
    } else {
      EXPECT_FALSE(answer.place);
      EXPECT_EQ(answer.answer, nullptr);
      result.emplace(std::unexpected(std::move(opened).error()));
    }
    done = true;
  }
};

inline net::Task<void> perform(Dispatcher* dispatcher, Call* call) {
  Dispatched result;
  auto opened = co_await dispatcher->open(call->request, call->caller, result);
  call->end(std::move(opened), std::move(result));
}

inline net::Task<void> stop_registry(EndpointRegistry* registry) { co_await registry->stop(); }

class GatewayTest : public testing::Test {
 protected:
  GatewayTest()
      : played_(new PlayedBinding),
        bindings_(of(std::unique_ptr<bindings::Binding>(played_))),
        dispatcher_(loops_.shards(), source_),
        registry_(std::make_unique<EndpointRegistry>(RegistryParts{
            control(), bindings_, telemetry::Logger(log_, "gateway"),
            [this] { dispatcher_.poke(); },
            [this](const std::string& endpoint, const std::string& model,
                   const BreakerTransition& change) {
              std::lock_guard lock(mutex_);
              breakers_.push_back(fmt::format("{}/{}: {}", endpoint, model, to_string(change.to)));
            }})) {
    control().every(5ms, [this] { dispatcher_.tick(); });
  }
  ~GatewayTest() override {
    if (registry_ != nullptr && !loops_.ended()) {
      loops_.run(control(), stop_registry(registry_.get()));
    }
    loops_.end();
  }

  // After each test: whatever happened, nothing is held any more.
  void TearDown() override { expect_nothing_held(); }

  void expect_nothing_held() {
    EXPECT_TRUE(eventually([&] { return dispatcher_.waiting() == 0; }));
    loops_.call(control(), [&] {
      for (const auto& view : registry_->view()) {
        EXPECT_EQ(view.endpoint->in_flight(), 0u) << view.settings.name;
        for (const auto& state : view.models) {
          EXPECT_EQ(state->view(std::chrono::steady_clock::now()).trials_under_way, 0u)
              << state->endpoint() << "/" << state->model();
        }
      }
    });
    for (std::uint16_t port = 1; port < 10; ++port) {
      EXPECT_EQ(played_->living(port)->now, 0) << "answers of port " << port;
    }
  }

  // --- setting up ---

  // Puts a configuration to work; endpoints are "http://h:PORT" with binding openai.
  void configure(const std::string& yaml, std::vector<LocalModel> local = {}) {
    auto loaded = config::load({.text = yaml});
    ASSERT_TRUE(loaded) << loaded.error().message;
    settings_ = loaded->settings;
    local_ = std::move(local);
    loops_.call(control(), [&] { apply(); });
    settle();
  }
  void apply() {
    registry_->apply(settings_.endpoints, settings_.gateway);
    auto table =
        RouteTable::make({settings_.endpoints, settings_.routes, local_, settings_.gateway});
    dispatcher_.publish(states_.join(std::move(table), *registry_));
    dispatcher_.poke();
  }
  // Until what was posted to the serving shards is there.
  void settle() {
    for (std::size_t i = 0; i < loops_.shards().serving_count(); ++i) {
      loops_.call(loops_.shards().serving(i), [] {});
    }
    loops_.call(control(), [] {});
  }

  net::Shard& control() { return loops_.shards().control(); }
  std::shared_ptr<Endpoint> endpoint(const std::string& name) {
    return loops_.call(control(), [&] { return registry_->find(name); });
  }
  std::shared_ptr<TargetState> target(const std::string& endpoint, const std::string& model) {
    return registry_->state(endpoint, model);
  }
  std::shared_ptr<RouteState> route(const std::string& name) {
    return loops_.call(control(), [&] {
      auto match = dispatcher_.routing()->find(name);
      return match.route == nullptr ? nullptr : match.route->state;
    });
  }
  BreakerState breaker(const std::string& endpoint, const std::string& model) {
    return target(endpoint, model)->view(std::chrono::steady_clock::now()).state;
  }
  std::vector<std::string> breaker_changes() const {
    std::lock_guard lock(mutex_);
    return breakers_;
  }

  // --- calling ---

  std::unique_ptr<Call> prepare_call(const std::string& model, bool stream = true) {
    auto call = std::make_unique<Call>();
    call->request.model = ModelName(model);
    call->request.stream = stream;
    call->request.body = call->body;
    return call;
  }
  void start(Call& call, std::size_t shard = 0) {
    call.shard = &loops_.shards().serving(shard);
    call.group = std::make_unique<net::TaskGroup>(*call.shard);
    loops_.call(*call.shard, [&] { call.group->spawn(perform(&dispatcher_, &call)); });
  }
  std::unique_ptr<Call> begin(const std::string& model, std::size_t shard = 0) {
    auto call = prepare_call(model);
    start(*call, shard);
    return call;
  }
  // Begins a call and sees it in the queue.
  std::unique_ptr<Call> begin_waiting(const std::string& model, std::size_t shard = 0) {
    auto before = dispatcher_.waiting();
    auto call = begin(model, shard);
    EXPECT_TRUE(eventually([&] { return dispatcher_.waiting() == before + 1; }));
    return call;
  }
  Result<Dispatched> finish(Call& call, std::chrono::milliseconds most = 20s) {
    EXPECT_TRUE(eventually([&] { return call.done.load(); }, most));
    loops_.run(*call.shard, call.group->close());
    if (!call.result) return fail(ErrorCode::internal, "the call did not end");
    return std::move(*call.result);
  }
  // Ends calls in whatever order they are answered, and gives each one's place to the next.
  void finish_all(std::vector<std::unique_ptr<Call>>& calls) {
    std::size_t left = calls.size();
    EXPECT_TRUE(eventually(
        [&] {
          for (auto& call : calls) {
            if (call == nullptr || !call->done) continue;
            auto result = finish(*call);
            EXPECT_TRUE(result) << result.error().describe();
            call.reset();
            --left;
          }
          return left == 0;
        },
        60s));
  }
  // The client leaves.
  Result<Dispatched> leave(Call& call) {
    loops_.run(*call.shard, call.group->close());
    EXPECT_TRUE(call.done);
    if (!call.result) return fail(ErrorCode::internal, "the call did not end");
    return std::move(*call.result);
  }
  Result<Dispatched> dispatch(const std::string& model, std::size_t shard = 0) {
    auto call = begin(model, shard);
    return finish(*call);
  }

  static std::string text(const Result<Dispatched>& result) {
    if (!result) return std::string(to_string(result.error().code)) + ": " + result.error().message;
    return result->held + std::string(result->first);
  }
  static Error down() { return fail(ErrorCode::unavailable, "connection refused"); }
  static Error broken() { return fail(ErrorCode::upstream, "it said 500"); }

  Loops loops_{2};
  PlayedBinding* played_;
  bindings::BindingSet bindings_;
  PlayedSource source_;
  Dispatcher dispatcher_;
  std::shared_ptr<LinesSink> log_ = std::make_shared<LinesSink>();
  mutable std::mutex mutex_;
  std::vector<std::string> breakers_;
  std::unique_ptr<EndpointRegistry> registry_;
  RouteStates states_;
  config::Settings settings_;
  std::vector<LocalModel> local_;

 private:
  static std::vector<std::unique_ptr<bindings::Binding>> of(
      std::unique_ptr<bindings::Binding> binding) {
    std::vector<std::unique_ptr<bindings::Binding>> all;
    all.push_back(std::move(binding));
    return all;
  }
};

}  // namespace corral::gateway

#include "scheduler/deployed_model.hpp"

#include <fmt/core.h>

namespace corral::scheduler {
namespace {

using Kind = DeploymentAction::Kind;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kReopenAfter{1};

}  // namespace

DeployedModel::DeployedModel(DeploymentParts parts, std::string model, engines::InstanceSpec spec,
                             std::chrono::milliseconds idle_timeout)
    : parts_(std::move(parts)),
      model_(std::move(model)),
      spec_(std::move(spec)),
      idle_timeout_(idle_timeout),
      meters_(make_meters(parts_.metrics, model_, spec_.purpose)) {}

DeployedModel::Meters DeployedModel::make_meters(telemetry::Metrics& metrics,
                                                 const std::string& model,
                                                 engines::Purpose purpose) {
  telemetry::Labels labels{{"model", model}, {"purpose", std::string(engines::to_string(purpose))}};
  return {
      metrics.counter("corral_engine_starts_total", "Engine processes that became ready.", labels),
      metrics.counter("corral_engine_crashes_total", "Engine processes that ended unasked.",
                      labels),
      metrics.gauge("corral_engine_ready", "1 while the engine serves.", labels),
      metrics.gauge("corral_engine_in_flight", "Requests at the engine.", labels),
      metrics.gauge("corral_engine_waiting", "Requests waiting for the engine to be ready.",
                    labels)};
}

void DeployedModel::measure() const {
  auto load = endpoint_ ? endpoint_->load() : gateway::EndpointLoad{};
  meters_.ready.set(endpoint_ ? 1 : 0);
  meters_.in_flight.set(static_cast<double>(load.in_flight));
  meters_.waiting.set(static_cast<double>(waiters_.size()));
}

void DeployedModel::want(Waiter waiter) {
  waiters_.push_back(std::move(waiter));
  if (core_.state() == DeploymentState::ready && endpoint_ != nullptr && endpoint_->closed()) {
    return;  // the crash is about to be reported, or sweep() opens a new endpoint
  }
  perform(core_.wanted(SteadyClock::now()));
}

void DeployedModel::unload(Error why) { perform(core_.unload(std::move(why))); }

void DeployedModel::sweep() {
  measure();
  if (endpoint_ == nullptr || core_.state() != DeploymentState::ready) return;
  if (endpoint_->closed()) {
    auto now = SteadyClock::now();
    if (!closed_seen_) closed_seen_ = now;
    if (now - *closed_seen_ < kReopenAfter) return;
    open_endpoint();
    wake({});
    parts_.changed();
    return;
  }
  if (idle_timeout_.count() > 0 && endpoint_->close_if_idle(idle_timeout_)) {
    unload(fail(ErrorCode::unavailable, "the model was unloaded because nobody used it"));
  }
}

void DeployedModel::update(engines::InstanceSpec spec, std::chrono::milliseconds idle_timeout) {
  bool other_file = spec.model_file != spec_.model_file;
  spec_ = std::move(spec);
  idle_timeout_ = idle_timeout;
  if (other_file) unload(fail(ErrorCode::unavailable, "the model's file was replaced"));
}

void DeployedModel::perform(DeploymentActions actions) {
  for (auto& action : actions) {
    switch (action.kind) {
      case Kind::start_instance:
        make_instance();
        instance_->start();
        break;
      case Kind::stop_instance: instance_->stop(); break;
      case Kind::open_endpoint: open_endpoint(); break;
      case Kind::close_endpoint:
        endpoint_->close();
        endpoint_.reset();
        break;
      case Kind::wake_waiters: wake(action.error); break;
    }
  }
  parts_.changed();
}

void DeployedModel::open_endpoint() {
  bindings::EndpointAddress address;
  address.target.host = address_->host;
  address.target.port = address_->port;
  address.api_key = address_->api_key.value;
  EndpointName name(fmt::format("{}:{}", model_, address_->port));
  endpoint_ = std::make_shared<gateway::Endpoint>(
      std::move(name), parts_.binding, std::move(address),
      gateway::EndpointOptions{spec_.slots, true, parts_.place_freed});
  closed_seen_.reset();
}

void DeployedModel::wake(const std::optional<Error>& error) {
  auto waiters = std::exchange(waiters_, {});
  for (auto& waiter : waiters) {
    if (error)
      waiter->fulfil(std::unexpected(*error));
    else
      waiter->fulfil(gateway::Target{endpoint_, model_});
  }
}

void DeployedModel::make_instance() {
  if (instance_ && instance_->spec() == spec_) return;
  engines::Instance::Listener listener;
  listener.ready = [this](const engines::InstanceAddress& address) {
    address_ = address;
    meters_.starts.add();
    perform(core_.instance_ready());
  };
  listener.down = [this](const Error&) {
    meters_.crashes.add();
    perform(core_.instance_down());
  };
  listener.failed = [this](const Error& why) {
    Error error = why;
    error.code = ErrorCode::unavailable;
    error.message = fmt::format("the model '{}' could not be started: {}", model_, why.message);
    perform(core_.instance_failed(std::move(error), SteadyClock::now()));
  };
  listener.stopped = [this] { perform(core_.instance_stopped()); };
  // The old one may be what calls us now, so it is only put aside.
  if (instance_) retired_.push_back(std::move(instance_));
  instance_ = std::make_unique<engines::Instance>(spec_, parts_.engine, std::move(listener));
}

net::Task<void> DeployedModel::stop() {
  unload(fail(ErrorCode::unavailable, "the server is shutting down"));
  if (instance_) co_await instance_->close();
  for (auto& instance : retired_) co_await instance->close();
}

}  // namespace corral::scheduler

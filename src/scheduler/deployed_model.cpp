#include "scheduler/deployed_model.hpp"

#include <fmt/core.h>

namespace corral::scheduler {
namespace {

using Action = DeploymentAction;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kReopenAfter{1};

}  // namespace

DeployedModel::DeployedModel(DeploymentParts parts, DeploymentReports reports, UnitId unit,
                             std::string model, engines::Purpose purpose,
                             std::vector<StartOption> options,
                             std::chrono::milliseconds idle_timeout, Replica replica)
    : parts_(std::move(parts)),
      reports_(std::move(reports)),
      unit_(unit),
      model_(std::move(model)),
      purpose_(purpose),
      options_(std::move(options)),
      idle_timeout_(idle_timeout),
      replica_(replica),
      meters_(make_meters(parts_.metrics, model_, purpose_, replica_.number)) {}

DeployedModel::Meters DeployedModel::make_meters(telemetry::Metrics& metrics,
                                                 const std::string& model, engines::Purpose purpose,
                                                 unsigned replica) {
  telemetry::Labels labels{{"model", model}, {"purpose", std::string(engines::to_string(purpose))}};
  // The first one's series are the same whether there are others or not.
  if (replica > 0) labels.push_back({"replica", fmt::format("{}", replica + 1)});
  return {
      metrics.counter("corral_engine_starts_total", "Engine processes that became ready.", labels),
      metrics.counter("corral_engine_crashes_total", "Engine processes that ended unasked.",
                      labels),
      metrics.gauge("corral_engine_ready", "1 while the engine serves.", labels),
      metrics.gauge("corral_engine_in_flight", "Requests at the engine.", labels),
      metrics.gauge("corral_engine_waiting", "Requests waiting for the engine to be ready.",
                    labels)};
}

void DeployedModel::measure(std::size_t waiting) const {
  auto load = endpoint_ ? endpoint_->load() : gateway::EndpointLoad{};
  meters_.ready.set(endpoint_ ? 1 : 0);
  meters_.in_flight.set(static_cast<double>(load.in_flight));
  meters_.waiting.set(static_cast<double>(waiting));
}

// --- what is decided about it --------------------------------------------------------------------

void DeployedModel::start(std::size_t option) {
  turn_over_ = false;
  retiring_ = false;
  make_instance(options_[option].spec);
  perform(core_.start());
}

void DeployedModel::close_for_turn() {
  turn_over_ = true;
  if (endpoint_) endpoint_->close();
}

void DeployedModel::reopen() {
  turn_over_ = false;
  if (endpoint_ && !retiring_) endpoint_->reopen();
}

void DeployedModel::retire() {
  retiring_ = true;
  if (endpoint_ == nullptr) {
    unload(nullptr);
  } else {
    endpoint_->close();
    if (endpoint_->in_flight() == 0) unload(nullptr);
  }
}

void DeployedModel::bring_back() {
  retiring_ = false;
  if (endpoint_ && !turn_over_) endpoint_->reopen();
}

void DeployedModel::make_room() { perform(core_.unload()); }

void DeployedModel::unload(const Error* why) {
  reports_.leaving(why);
  perform(core_.unload());
}

void DeployedModel::sweep(WhenIdle when_idle) {
  if (endpoint_ == nullptr || core_.state() != DeploymentState::ready || turn_over_) return;
  if (retiring_) {
    if (endpoint_->in_flight() == 0) unload(nullptr);
    return;
  }
  if (endpoint_->closed()) {
    auto now = SteadyClock::now();
    if (!closed_seen_) closed_seen_ = now;
    if (now - *closed_seen_ < kReopenAfter) return;
    open_endpoint();
    reports_.changed();
    reports_.ready();
    return;
  }
  if (when_idle == WhenIdle::stay || idle_timeout_.count() <= 0) return;
  if (endpoint_->close_if_idle(idle_timeout_)) unload(nullptr);
}

void DeployedModel::update(std::vector<StartOption> options,
                           std::chrono::milliseconds idle_timeout) {
  bool other_file = !options.empty() && !options_.empty() &&
                    options[0].spec.model_file != options_[0].spec.model_file;
  options_ = std::move(options);
  idle_timeout_ = idle_timeout;
  if (!other_file) return;
  Error why = fail(ErrorCode::unavailable, "the model's file was replaced");
  unload(&why);
}

// --- what is done --------------------------------------------------------------------------------

void DeployedModel::perform(const DeploymentActions& actions) {
  for (auto action : actions) {
    switch (action) {
      case Action::start_instance: instance_->start(); break;
      case Action::stop_instance: instance_->stop(); break;
      case Action::open_endpoint: open_endpoint(); break;
      case Action::close_endpoint:
        endpoint_->close();
        endpoint_.reset();
        break;
    }
  }
  reports_.changed();
}

void DeployedModel::open_endpoint() {
  bindings::EndpointAddress address;
  address.target.host = address_->host;
  address.target.port = address_->port;
  address.api_key = address_->api_key.value;
  EndpointName name(fmt::format("{}:{}", model_, address_->port));
  endpoint_ = std::make_shared<gateway::Endpoint>(
      std::move(name), parts_.binding, std::move(address),
      gateway::EndpointOptions{instance_->spec().slots, true, parts_.place_freed,
                               replica_.of_several});
  closed_seen_.reset();
}

void DeployedModel::make_instance(const engines::InstanceSpec& spec) {
  if (instance_ && instance_->spec() == spec) return;
  engines::Instance::Listener listener;
  listener.ready = [this](const engines::InstanceAddress& address) {
    address_ = address;
    meters_.starts.add();
    perform(core_.instance_ready());
    reports_.ready();
  };
  listener.down = [this](const Error&) {
    meters_.crashes.add();
    perform(core_.instance_down());
    reports_.down();
  };
  listener.failed = [this](const Error& why) {
    Error error = why;
    error.code = ErrorCode::unavailable;
    perform(core_.instance_failed(error, SteadyClock::now()));
    reports_.failed(error);
  };
  listener.stopped = [this] {
    bool unloading = core_.state() == DeploymentState::unloading;
    perform(core_.instance_stopped());
    if (unloading) reports_.gone();
  };
  // The old one may be what calls us now, so it is only put aside.
  if (instance_) retired_.push_back(std::move(instance_));
  instance_ = std::make_unique<engines::Instance>(spec, parts_.engine, std::move(listener));
}

net::Task<void> DeployedModel::stop() {
  Error why = fail(ErrorCode::unavailable, "the server is shutting down");
  unload(&why);
  if (instance_) co_await instance_->close();
  for (auto& instance : retired_) co_await instance->close();
}

}  // namespace corral::scheduler

#include "api/admin/plan_view.hpp"

#include <boost/json.hpp>
#include <string>

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

bj::object describe(const models::MemoryParts& parts) {
  return {{"total_bytes", parts.total()},
          {"private_bytes", parts.private_bytes()},
          {"weights_bytes", parts.weights},
          {"repacked_bytes", parts.repacked},
          {"kv_cache_bytes", parts.kv_cache},
          {"compute_bytes", parts.compute},
          {"output_bytes", parts.output},
          {"program_bytes", parts.program},
          {"prompt_cache_bytes", parts.prompt_cache},
          {"checkpoints_bytes", parts.checkpoints},
          {"projector_bytes", parts.projector}};
}

}  // namespace

bj::object describe_plan(const Result<models::StartPlan>& plan) {
  if (!plan) return {{"error", plan.error().message}, {"hint", plan.error().hint_text}};
  bj::array choices;
  choices.reserve(plan->choices.size());
  for (const auto& choice : plan->choices) {
    choices.push_back(
        bj::object{{"what", choice.what}, {"value", choice.value}, {"why", choice.why}});
  }
  bj::array devices;
  devices.reserve(plan->shares.size());
  for (const auto& share : plan->shares) {
    devices.push_back(
        bj::object{{"name", share.device}, {"layers", share.layers}, {"bytes", share.bytes}});
  }
  bj::array rpc;
  for (const auto& server : plan->rpc) rpc.emplace_back(server);
  const bool host_only = plan->gpu_layers == 0;
  return {
      {"device", plan->device},
      {"gpu_layers", plan->gpu_layers},
      {"devices", std::move(devices)},
      {"rpc", std::move(rpc)},
      {"projector", plan->projector.empty() ? bj::value(nullptr) : bj::value(plan->projector)},
      {"context", plan->context},
      {"slots", plan->slots},
      {"threads", plan->threads},
      {"batch", plan->batch},
      {"cache_type", std::string(models::to_string(plan->cache))},
      {"repack", plan->repack},
      {"checkpoints", plan->checkpoints},
      {"host_bytes", plan->host_bytes},
      {"device_bytes", plan->device_bytes},
      {"host", describe(plan->estimate.host)},
      {"accelerator", host_only ? bj::value(nullptr) : bj::value(describe(plan->estimate.device))},
      {"choices", std::move(choices)}};
}

}  // namespace corral::api::admin

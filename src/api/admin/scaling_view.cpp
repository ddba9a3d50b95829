// How many instances deployments have, and the decisions about that.
#include <boost/json.hpp>

#include "api/admin/admin_surface.hpp"
#include "base/json.hpp"
#include "base/time_text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

bj::value number_or_null(const std::optional<double>& value) {
  return value ? bj::value(*value) : bj::value(nullptr);
}

bj::object describe(const scheduler::ScaledDeployment& deployment) {
  return {{"model", deployment.model},
          {"purpose", deployment.purpose},
          {"ready", deployment.ready},
          {"starting", deployment.starting},
          {"wanted", deployment.wanted},
          {"min_replicas", deployment.least},
          {"max_replicas", deployment.most},
          {"in_flight", deployment.in_flight},
          {"waiting", deployment.waiting},
          {"wait_ms", number_or_null(deployment.wait_ms)},
          {"first_token_ms", number_or_null(deployment.first_token_ms)},
          {"tokens_per_second", number_or_null(deployment.tokens_per_second)}};
}

bj::object describe(const scheduler::ScalingRecord& record) {
  return {{"at", format_time(record.at)},
          {"model", record.model},
          {"purpose", record.purpose},
          {"kind", record.kind},
          {"signal", record.signal},
          {"from", record.from},
          {"to", record.to},
          {"reason", record.reason}};
}

}  // namespace

net::Task<void> AdminSurface::scaling(Call& call) {
  auto status = co_await scheduler_.scaling();
  bj::array deployments;
  for (const auto& each : status.deployments) deployments.push_back(describe(each));
  bj::array decisions;
  for (const auto& each : status.decisions) decisions.push_back(describe(each));
  net::HttpReply reply;
  reply.body = json::serialize(bj::object{{"enabled", status.enabled},
                                          {"cpu", status.cpu},
                                          {"deployments", std::move(deployments)},
                                          {"decisions", std::move(decisions)}});
  (void)co_await call.exchange.reply(std::move(reply));
}

}  // namespace corral::api::admin

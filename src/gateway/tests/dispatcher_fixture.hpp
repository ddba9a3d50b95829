// The dispatcher over several endpoints, for the tests of how it chooses and how it fails over.
#pragma once

#include <string>
#include <vector>

#include "gateway/dispatcher.hpp"
#include "gateway/tests/gateway_fixture.hpp"

namespace corral::gateway {

// Two targets of which the first one is always tried first.
inline constexpr const char* kOrdered = R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1', capacity: 2}
  - {name: e2, binding: openai, url: 'http://h:2', capacity: 2}
  - {name: e3, binding: openai, url: 'http://h:3', capacity: 2}
routes:
  - name: chat
    targets:
      - {endpoint: e1, model: m}
      - {endpoint: e2, model: m, group: 1}
    fallbacks: [spare]
    retry_backoff_min: 1ms
    retry_backoff_max: 2ms
    first_token_timeout: 30ms
    retry_budget: 1
  - {name: spare, targets: [{endpoint: e3, model: small}], parameters: {top_k: 3}}
gateway: {health: {probe_interval: 0}}
)";

class DispatcherTest : public GatewayTest {
 protected:
  // The route "chat" over e1, e2 and e3, with these settings of its own.
  void configure_three(const std::string& settings) {
    configure(R"(
endpoints:
  - {name: e1, binding: openai, url: 'http://h:1'}
  - {name: e2, binding: openai, url: 'http://h:2'}
  - {name: e3, binding: openai, url: 'http://h:3'}
routes:
  - name: chat
    targets: [{endpoint: e1, model: m}, {endpoint: e2, model: m}, {endpoint: e3, model: m}]
)" + settings);
  }
  std::vector<int> ports() const {
    std::vector<int> result;
    for (const auto& call : played_->calls()) result.push_back(call.port);
    return result;
  }
};

}  // namespace corral::gateway

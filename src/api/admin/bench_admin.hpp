// The admin surface's part for benchmarks: begin one, see what was found, drop tuned settings. A
// benchmark under way is shown and cancelled as an operation.
// Thread rule: as the router's handlers.
#pragma once

#include "api/admin/operations.hpp"
#include "api/router.hpp"
#include "scheduler/benches.hpp"

namespace corral::api::admin {

Operation operation_of(const scheduler::BenchView& view);

// The options of a benchmark from a request's body; empty is all defaults. invalid_argument, naming
// the field.
Result<scheduler::BenchOptions> read_bench_options(std::string_view body);

class BenchAdmin final : public OperationSource {
 public:
  explicit BenchAdmin(scheduler::Benches& benches) : benches_(benches) {}
  void add_routes(Router& router);

  std::vector<Operation> list() const override;
  std::optional<Operation> find(const std::string& id) const override;
  net::Task<Result<Operation>> act(std::string id, OperationAction action) override;

 private:
  net::Task<void> begin(Call& call);
  net::Task<void> past(Call& call);
  net::Task<void> forget(Call& call);

  scheduler::Benches& benches_;
};

}  // namespace corral::api::admin

// The admin surface's part for fetching models: begin a pull, look for models, see what a pull
// would fetch. The pulls themselves are shown, paused, resumed and cancelled as operations.
// Thread rule: as the router's handlers.
#pragma once

#include "api/admin/operations.hpp"
#include "api/router.hpp"
#include "models/pulls.hpp"

namespace corral::api::admin {

Operation operation_of(const models::PullView& view);
boost::json::object describe(const models::RemoteInfo& info);

class PullAdmin final : public OperationSource {
 public:
  explicit PullAdmin(models::Pulls& pulls) : pulls_(pulls) {}
  void add_routes(Router& router);

  std::vector<Operation> list() const override;
  std::optional<Operation> find(const std::string& id) const override;
  net::Task<Result<Operation>> act(std::string id, OperationAction action) override;

 private:
  net::Task<void> pull(Call& call);
  net::Task<void> search(Call& call);
  net::Task<void> plan(Call& call);

  models::Pulls& pulls_;
};

}  // namespace corral::api::admin

// The admin surface's part for operations under way: pause, resume, cancel, and a stream of events
// (text/event-stream): "progress" with the operation as JSON whenever it changes, and "end" with it
// once it is over.
// Thread rule: as the router's handlers.
#pragma once

#include "api/admin/operations.hpp"
#include "api/router.hpp"

namespace corral::api::admin {

class OperationAdmin {
 public:
  explicit OperationAdmin(Operations& operations) : operations_(operations) {}
  void add_routes(Router& router);

 private:
  net::Task<void> act(Call& call, OperationAction action);
  net::Task<void> events(Call& call);

  Operations& operations_;
};

}  // namespace corral::api::admin

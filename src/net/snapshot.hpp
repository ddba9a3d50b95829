// Read-mostly state: an immutable value that each shard reads through a pointer of its own, and
// that is replaced by posting the new one to every shard.
//
// Thread rule: `local()` on a serving or control shard; `publish()` from any thread. A reader sees
// the old value until the post arrives. Lifecycle: dies before its Shards, after they stopped.
#pragma once

#include <memory>
#include <vector>

#include "net/shard.hpp"

namespace corral::net {

template <class T>
class Snapshot {
 public:
  Snapshot(Shards& shards, std::shared_ptr<const T> first)
      : shards_(shards),
        slots_(std::make_shared<std::vector<std::shared_ptr<const T>>>(shards.serving_count() + 1,
                                                                       std::move(first))) {}

  const std::shared_ptr<const T>& local() const { return (*slots_)[Shard::current()->index()]; }

  void publish(const std::shared_ptr<const T>& value) {
    auto put = [slots = slots_, value](std::size_t index) { (*slots)[index] = value; };
    for (std::size_t i = 0; i < shards_.serving_count(); ++i) {
      shards_.serving(i).post([put, i] { put(i); });
    }
    Shard& control = shards_.control();
    if (control.is_current())
      put(control.index());
    else
      control.post([put, index = control.index()] { put(index); });
  }

 private:
  Shards& shards_;
  std::shared_ptr<std::vector<std::shared_ptr<const T>>> slots_;
};

}  // namespace corral::net

#include "scheduler/accelerators.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "engines/llama_server.hpp"

namespace corral::scheduler {

net::Task<FoundDevices> find_devices(AcceleratorSearch search) {
  FoundDevices out;
  std::function<sys::Devices()> look = [sources = search.sources] { return sys::devices(sources); };
  auto there = co_await net::run_blocking(search.pool, std::move(look));
  out.numa_nodes = std::max(1u, static_cast<unsigned>(there.nodes.size()));
  for (const auto& problem : there.problems) search.log.warn(problem);
  if (there.accelerators.empty()) co_return out;
  auto program = engines::find_llama_server(search.files, search.settings, search.cache_folder);
  if (!program) co_return out;  // the first start says so
  auto listed = co_await engines::ask_engine_devices(search.processes, *program);
  if (!listed) {
    search.log.warn(listed.error().message, {{"cause", listed.error().cause}});
    co_return out;
  }
  if (listed->empty()) {
    search.log.info("the engine was built for the CPU alone; accelerators are not used",
                    {{"accelerators", there.accelerators.size()}});
  }
  out.accelerators.reserve(listed->size());
  for (const auto& each : *listed) {
    // What others use now is not there for engines; none of ours runs yet.
    out.accelerators.push_back({each.name, each.description, each.memory_free});
    search.log.info(
        "an accelerator can be used",
        {{"device", each.name}, {"what", each.description}, {"free_bytes", each.memory_free}});
  }
  co_return out;
}

}  // namespace corral::scheduler

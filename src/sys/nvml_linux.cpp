#include "sys/nvml_linux.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "sys/shared_library.hpp"

namespace corral::sys {
namespace {

using Device = void*;
struct Memory {
  unsigned long long total, free, used;
};
struct Utilization {
  unsigned gpu, memory;
};

constexpr unsigned kMostDevices = 64;
constexpr unsigned kTextSize = 96;  // NVML_DEVICE_NAME_V2_BUFFER_SIZE, NVML_DEVICE_UUID_V2_...
constexpr int kSuccess = 0;

// What is handed to the library is followed by room that it has no business to write to.
template <class T>
struct Guarded {
  T value{};
  std::array<char, 512> room{};
};

struct Api {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*uuid)(Device, char*, unsigned) = nullptr;
  int (*memory)(Device, void*) = nullptr;       // Memory
  int (*utilization)(Device, void*) = nullptr;  // Utilization
};

template <class Function>
Result<void> find(const SharedLibrary& library, const char* name, Function& out) {
  CORRAL_TRY(void* address, library.symbol(name));
  out = reinterpret_cast<Function>(address);
  return {};
}

Result<Api> load(const SharedLibrary& library) {
  Api api;
  CORRAL_CHECK(find(library, "nvmlInit_v2", api.init));
  CORRAL_CHECK(find(library, "nvmlShutdown", api.shutdown));
  CORRAL_CHECK(find(library, "nvmlDeviceGetCount_v2", api.count));
  CORRAL_CHECK(find(library, "nvmlDeviceGetHandleByIndex_v2", api.handle));
  CORRAL_CHECK(find(library, "nvmlDeviceGetName", api.name));
  CORRAL_CHECK(find(library, "nvmlDeviceGetUUID", api.uuid));
  CORRAL_CHECK(find(library, "nvmlDeviceGetMemoryInfo", api.memory));
  CORRAL_CHECK(find(library, "nvmlDeviceGetUtilizationRates", api.utilization));
  return api;
}

std::string text(int (*ask)(Device, char*, unsigned), Device device) {
  Guarded<std::array<char, kTextSize>> buffer;
  if (ask(device, buffer.value.data(), kTextSize) != kSuccess) return {};
  const auto* end = std::ranges::find(buffer.value, '\0');
  return one_line(std::string_view(buffer.value.begin(), end));
}

std::optional<AcceleratorFacts> describe(const Api& api, unsigned index) {
  Guarded<Device> handle;
  if (api.handle(index, &handle.value) != kSuccess) return std::nullopt;
  Guarded<Memory> memory;
  if (api.memory(handle.value, &memory.value) != kSuccess) return std::nullopt;
  if (!possible_memory(memory.value.total)) return std::nullopt;
  AcceleratorFacts facts;
  facts.kind = AcceleratorKind::nvidia;
  facts.index = index;
  facts.name = text(api.name, handle.value);
  if (facts.name.empty()) facts.name = "NVIDIA GPU";
  facts.id = text(api.uuid, handle.value);
  facts.memory_total = memory.value.total;
  facts.memory_free = std::min<std::uint64_t>(memory.value.free, memory.value.total);
  Guarded<Utilization> use;
  if (api.utilization(handle.value, &use.value) == kSuccess && use.value.gpu <= 100) {
    facts.busy_percent = static_cast<int>(use.value.gpu);
  }
  return facts;
}

}  // namespace

void add_nvidia(const std::string& name, Devices& out) {
  const auto library = SharedLibrary::open(name);
  if (!library) return;  // no driver: nothing to tell
  const auto api = load(*library);
  if (!api) {
    out.problems.push_back("NVIDIA's library is of no use: " + api.error().message);
    return;
  }
  if (const int code = api->init(); code != kSuccess) {
    out.problems.push_back("NVIDIA's library did not start (error " + std::to_string(code) + ")");
    return;
  }
  Guarded<unsigned> count;
  if (const int code = api->count(&count.value); code != kSuccess || count.value > kMostDevices) {
    out.problems.push_back("NVIDIA's library does not know how many devices there are");
    count.value = 0;
  }
  for (unsigned index = 0; index < count.value; ++index) {
    if (auto facts = describe(*api, index)) {
      out.accelerators.push_back(std::move(*facts));
    } else {
      out.problems.push_back("NVIDIA's device " + std::to_string(index) +
                             " does not say what it is");
    }
  }
  (void)api->shutdown();
}

}  // namespace corral::sys

// Stands for NVIDIA's library in tests. FAKE_NVML says how it behaves: "two" good devices (also
// when it is not set), or one of the ways to fail or to lie below.
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

struct Memory {
  unsigned long long total, free, used;
};
struct Utilization {
  unsigned gpu, memory;
};

constexpr unsigned long long kGiB = 1ull << 30;
char devices[2];  // their addresses are the handles

std::string_view mode() {
  const char* said = std::getenv("FAKE_NVML");  // NOLINT(concurrency-mt-unsafe): one thread
  return said == nullptr ? "two" : said;
}

bool second(void* device) { return device == &devices[1]; }

}  // namespace

extern "C" {

int nvmlInit_v2() { return mode() == "init" ? 9 : 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = mode() == "many" ? 4'000'000'000u : 2;
  return mode() == "count" ? 3 : 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index > 1 || (mode() == "handle" && index == 1)) return 2;
  *device = &devices[index];
  return 0;
}

int nvmlDeviceGetName(void* device, char* name, unsigned length) {
  if (mode() == "name") return 1;
  if (mode() == "endless") {  // no zero at its end
    std::memset(name, 'x', length);
    return 0;
  }
  if (mode() == "control") {
    std::strncpy(name, "evil\x1b[31m\nname", length);
    return 0;
  }
  std::strncpy(name, second(device) ? "NVIDIA B" : "NVIDIA A", length);
  return 0;
}

int nvmlDeviceGetUUID(void* device, char* uuid, unsigned length) {
  std::strncpy(uuid, second(device) ? "GPU-2" : "GPU-1", length);
  return 0;
}

int nvmlDeviceGetMemoryInfo(void* device, void* out) {
  auto* memory = static_cast<Memory*>(out);
  if (mode() == "memory" && second(device)) return 999;
  *memory = {second(device) ? 24 * kGiB : 80 * kGiB, 20 * kGiB, 0};
  if (mode() == "free") memory->free = ~0ull;
  if (mode() == "total") memory->total = ~0ull;
  if (mode() == "empty") memory->total = 0;
  return 0;
}

int nvmlDeviceGetUtilizationRates(void*, void* out) {
  auto* use = static_cast<Utilization*>(out);
  *use = {mode() == "busy" ? 4711u : 37u, 5};
  return mode() == "idle" ? 3 : 0;
}
}

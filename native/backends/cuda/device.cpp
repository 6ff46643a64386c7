// See device.h.
#include "device.h"

#include <dlfcn.h>

#include <cstdlib>

#include "runtime.h"

namespace ba_sam::cuda {
namespace {

constexpr int kMinimumMajor = 8;  // mma.sync with bf16, cp.async

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The few functions of libnvidia-ml.so.1 that say how much memory is free without a context of several hundred MB.
class ManagementLibrary {
 public:
  ManagementLibrary() : handle_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) return;
    load(initialise_, "nvmlInit_v2");
    load(shut_down_, "nvmlShutdown");
    load(find_, "nvmlDeviceGetHandleByPciBusId_v2");
    load(memory_, "nvmlDeviceGetMemoryInfo");
    ready_ = initialise_ && shut_down_ && find_ && memory_ && initialise_() == 0;
  }
  ~ManagementLibrary() {
    if (ready_) shut_down_();
    if (handle_) dlclose(handle_);
  }
  ManagementLibrary(const ManagementLibrary&) = delete;
  ManagementLibrary& operator=(const ManagementLibrary&) = delete;

  bool free_bytes(int device, size_t* bytes) const {
    char bus[32] = {};
    if (!ready_ || cudaDeviceGetPCIBusId(bus, sizeof(bus), device) != cudaSuccess) return false;
    struct {
      unsigned long long total, free, used;
    } memory = {};
    void* found = nullptr;
    if (find_(bus, &found) != 0 || memory_(found, &memory) != 0) return false;
    *bytes = static_cast<size_t>(memory.free);
    return true;
  }

 private:
  template <typename F>
  void load(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(handle_, name));
  }

  void* handle_;
  int (*initialise_)() = nullptr;
  int (*shut_down_)() = nullptr;
  int (*find_)(const char*, void**) = nullptr;
  int (*memory_)(void*, void*) = nullptr;
  bool ready_ = false;
};

std::string no_device_reason(cudaError_t error, int driver, int runtime) {
  if (error == cudaErrorInsufficientDriver || error == cudaErrorStubLibrary) {
    if (driver == 0) return "No NVIDIA driver was found";
    return "The NVIDIA driver supports CUDA up to " + version_text(driver) + "; this build needs " +
           version_text(runtime) + " or a later driver";
  }
  if (error == cudaSuccess || error == cudaErrorNoDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return "No CUDA device was found" + (visible ? " with CUDA_VISIBLE_DEVICES=" + std::string(visible) : "");
  }
  return std::string("CUDA could not be started: ") + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
}

DeviceInfo describe(int index) {
  DeviceInfo info;
  info.index = index;
  cudaDeviceProp properties = {};
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) {
    cudaGetLastError();
    info.reason = std::string("it did not answer: ") + cudaGetErrorString(error);
    return info;
  }
  info.name = properties.name;
  info.major = properties.major;
  info.minor = properties.minor;
  info.memory_bytes = properties.totalGlobalMem;
  if (info.major < kMinimumMajor) {
    info.reason = "compute capability " + std::to_string(info.major) + "." + std::to_string(info.minor) + "; needs " +
                  std::to_string(kMinimumMajor) + ".0 or later";
  }
  return info;
}

size_t free_bytes(int device, const ManagementLibrary& management) {
  size_t bytes = 0, total = 0;
  if (management.free_bytes(device, &bytes)) return bytes;
  const DeviceScope scope(device);
  if (cudaMemGetInfo(&bytes, &total) != cudaSuccess) cudaGetLastError();
  return bytes;
}

}  // namespace

Devices list_devices(bool with_free_memory) {
  Devices out;
  if (cudaDriverGetVersion(&out.driver) != cudaSuccess) cudaGetLastError();
  if (cudaRuntimeGetVersion(&out.runtime) != cudaSuccess) cudaGetLastError();
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    cudaGetLastError();
    out.reason = no_device_reason(error, out.driver, out.runtime);
    return out;
  }
  bool usable = false;
  std::string reasons;
  for (int i = 0; i < count; ++i) {
    out.devices.push_back(describe(i));
    const DeviceInfo& device = out.devices.back();
    usable = usable || device.reason.empty();
    reasons += (i ? "; device " : "device ") + std::to_string(i) + " (" + device.name + "): " + device.reason;
  }
  if (with_free_memory) {
    const ManagementLibrary management;
    for (DeviceInfo& device : out.devices) device.free_bytes = free_bytes(device.index, management);
  }
  if (!usable) out.reason = "No CUDA device can be used: " + reasons;
  return out;
}

void require_device(int device) {
  const Devices found = list_devices(false);
  if (found.devices.empty()) throw SamError("ERR_DEVICE_UNAVAILABLE", found.reason);
  const auto count = static_cast<int>(found.devices.size());
  if (device < 0 || device >= count) {
    throw SamError("ERR_DEVICE_UNAVAILABLE", "Expected a CUDA device between 0 and " + std::to_string(count - 1) +
                                                 " but received " + std::to_string(device));
  }
  const DeviceInfo& info = found.devices[static_cast<size_t>(device)];
  if (!info.reason.empty()) {
    throw SamError("ERR_DEVICE_UNAVAILABLE",
                   "CUDA device " + std::to_string(device) + " (" + info.name + ") cannot be used: " + info.reason);
  }
}

}  // namespace ba_sam::cuda

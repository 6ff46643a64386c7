// What the CUDA addon has of its own: its backend, and what the machine can do.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/device.h"
#include "../async_task.h"
#include "../backend_entry.h"
#include "../js_value.h"

namespace ba_sam::node {
namespace {

constexpr int kMaxDevices = 1024;

int to_device(const Napi::Value& options) {
  if (options.IsUndefined()) return 0;
  if (!options.IsObject()) bad_argument("options", "an object");
  const Napi::Value device = options.As<Napi::Object>().Get("device");
  return device.IsUndefined() ? 0 : static_cast<int>(to_integer(device, 0, kMaxDevices - 1, "device"));
}

std::string dotted(int version) {
  return version ? std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10) : "";
}

Napi::Object describe(Napi::Env env, const cuda::DeviceInfo& device) {
  auto out = Napi::Object::New(env);
  out.Set("index", device.index);
  out.Set("name", device.name);
  out.Set("computeCapability", std::to_string(device.major) + "." + std::to_string(device.minor));
  out.Set("memoryBytes", static_cast<double>(device.memory_bytes));
  out.Set("freeBytes", static_cast<double>(device.free_bytes));
  const cuda::MemoryCounter& counter = cuda::memory_counter(device.index);
  out.Set("allocatedBytes", static_cast<double>(counter.bytes));
  out.Set("peakBytes", static_cast<double>(counter.peak_bytes));
  if (!device.reason.empty()) out.Set("reason", device.reason);
  return out;
}

// info(): what this build and this machine can do. Never throws: what cannot be had has a reason.
Napi::Value machine_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto result = Napi::Object::New(env);
  auto library = Napi::Object::New(env);
  auto devices = Napi::Array::New(env);
  std::string unavailable;
  result.Set("backend", "cuda");
  try {
    const cuda::Devices found = cuda::list_devices(true);
    result.Set("driver", dotted(found.driver));
    result.Set("runtime", dotted(found.runtime));
    for (const cuda::DeviceInfo& device : found.devices) devices.Set(devices.Length(), describe(env, device));
    unavailable = found.reason;
    const cuda::lt::Found products = cuda::lt::find();
    if (products.library) {
      const size_t version = products.library->version();
      library.Set("version", std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
                                 std::to_string(version % 100));
      library.Set("path", products.path);
    } else {
      library.Set("reason", products.reason);
      if (unavailable.empty()) unavailable = products.reason;
    }
  } catch (const std::exception& error) {
    unavailable = error.what();
  }
  result.Set("cublasLt", library);
  result.Set("devices", devices);
  result.Set("unavailableReason", unavailable);
  return result;
}

// resetPeakBytes(device?): peakBytes of info() starts anew from what is allocated now
Napi::Value reset_peak_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int device = info[0].IsUndefined() ? 0 : static_cast<int>(to_integer(info[0], 0, kMaxDevices - 1, "device"));
    cuda::memory_counter(device).reset_peak();
    return info.Env().Undefined();
  });
}

}  // namespace

// options: {device?: number, tf32?: boolean}
std::shared_ptr<Backend> make_backend(const Napi::Value& options) {
  cuda::BackendOptions out;
  out.device = to_device(options);
  if (options.IsObject()) {
    const Napi::Value tf32 = options.As<Napi::Object>().Get("tf32");
    if (!tf32.IsUndefined() && !tf32.IsBoolean()) bad_argument("tf32", "a boolean");
    out.tf32 = tf32.IsBoolean() && tf32.As<Napi::Boolean>();
  }
  return cuda::make_cuda_backend(out);
}

void define_backend_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("info", Napi::Function::New<machine_info>(env, "info"));
  exports.Set("resetPeakBytes", Napi::Function::New<reset_peak_bytes>(env, "resetPeakBytes"));
}

}  // namespace ba_sam::node

// The CUDA runtime with errors as exceptions.
//
// Two rules keep every kernel of this folder testable without a GPU (tools/cuda-emulation compiles the same sources for the
// host): kernels are launched with launch(), never with <<<>>>, and PTX lives in primitives.h alone.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../../core/tensor.h"

namespace ba_sam::cuda {

// Throws SamError: ERR_OUT_OF_MEMORY for cudaErrorMemoryAllocation, ERR_DEVICE_LOST for errors that leave the context
// unusable (illegal address, hardware faults, a device that fell off the bus), ERR_DEVICE_UNAVAILABLE for a missing driver
// or device, ERR_INTERNAL otherwise. `what` names what was tried, "a launch of layer_norm".
[[noreturn]] void fail(cudaError_t error, const std::string& what);

inline void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) {
    cudaGetLastError();  // an error that is not sticky must not be reported a second time by an innocent call
    fail(error, what);
  }
}

// Makes `device` current on this thread; remembers nothing, because a thread serves one device.
void use_device(int device);

// Makes `device` current for a scope on a thread that may serve another one: freeing, reading a weight back. Silent, since
// destructors need it.
class DeviceScope {
 public:
  explicit DeviceScope(int device) noexcept;
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int previous_ = -1;
};

// An event with an owner.
class Event {
 public:
  explicit Event(unsigned flags = cudaEventDefault) { check(cudaEventCreateWithFlags(&event_, flags), "an event"); }
  ~Event() {
    if (event_ && cudaEventDestroy(event_) != cudaSuccess) cudaGetLastError();
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "an event"); }
  void wait() { check(cudaEventSynchronize(event_), "the work that was queued"); }
  // Both must have happened.
  double milliseconds_since(const Event& start) const {
    float out = 0;
    check(cudaEventElapsedTime(&out, start.event_, event_), "the time between two events");
    return out;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Starts `kernel` with `shared_bytes` of dynamic shared memory, more than 48 KB included.
template <typename... Params, typename... Args>
void launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
            cudaStream_t stream, Args&&... args) {
  if (shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          name);
  }
  const cudaLaunchConfig_t config = {grid, block, shared_bytes, stream, nullptr, 0};
  check(cudaLaunchKernelEx(&config, kernel, Params(std::forward<Args>(args))...), name);
}

template <typename T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace ba_sam::cuda

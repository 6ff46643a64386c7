// What the tests of kernels share: starting them, device memory, expected failures.
#pragma once

#include <string>
#include <vector>

#include "../../../native/backends/cuda/primitives.h"
#include "../../../test/native/support.h"
#include "emulation.h"

namespace ba_sam::test {

inline Counts counts;

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

template <typename... Params, typename... Args>
cudaError_t start(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  const cudaError_t launched = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
  return launched != cudaSuccess ? launched : cudaDeviceSynchronize();
}

// Device memory with the content of a vector.
template <typename T>
struct OnDevice {
  T* data = nullptr;
  size_t size;
  explicit OnDevice(size_t n) : size(n) { counts.check(cudaMalloc(&data, n * sizeof(T)) == cudaSuccess, "cudaMalloc"); }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    cudaMemcpy(data, values.data(), size * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~OnDevice() { cudaFree(data); }
  OnDevice(const OnDevice&) = delete;
  std::vector<T> read() const {
    std::vector<T> values(size);
    counts.check(cudaMemcpy(values.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess, "read back");
    return values;
  }
};

// A settings object with one order; errors of the test before are forgotten.
inline emulation::Settings in_order(emulation::Order order, int threads = 1) {
  emulation::Settings settings;
  settings.order = order;
  settings.threads = threads;
  return settings;
}
constexpr emulation::Order kOrders[] = {emulation::Order::forward, emulation::Order::reverse, emulation::Order::random};

// Expects the kernel's failure, with all the parts in its text.
inline void expect_failure(cudaError_t error, const std::vector<std::string>& parts, const std::string& what) {
  const std::string text = emulation::last_failure();
  bool ok = error == cudaErrorLaunchFailure && cudaPeekAtLastError() == cudaErrorLaunchFailure;
  for (const std::string& part : parts) ok = ok && contains(text, part);
  counts.check(ok, what + ": " + cudaGetErrorName(error) + ", " + text);
  emulation::reset(emulation::Settings{});
}

}  // namespace ba_sam::test

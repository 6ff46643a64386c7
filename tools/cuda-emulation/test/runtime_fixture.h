// What the tests of the emulated runtime share.
#pragma once

#include <string>

#include "../../../native/backends/cuda/primitives.h"
#include "../../../test/native/support.h"
#include "emulation.h"

namespace ba_sam::test {

inline Counts counts;

inline void expect(cudaError_t found, cudaError_t expected, const std::string& what) {
  counts.check(found == expected, what + ": " + cudaGetErrorName(found) + ", not " + cudaGetErrorName(expected));
}

inline emulation::Settings lazy_settings() {
  emulation::Settings settings;
  settings.lazy = true;
  return settings;
}

inline __global__ void add(float* x, int n, float value) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += value;
}
template <typename... Params, typename... Args>
cudaError_t start(cudaStream_t stream, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                  Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
}
inline cudaError_t start_add(cudaStream_t stream, float* x, int n, float value) {
  return start(stream, add, (n + 31) / 32, 32, 0, x, n, value);
}

}  // namespace ba_sam::test

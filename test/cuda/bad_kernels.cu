// What scripts/check-cuda-kernels.mts must find: every kernel here but the last has one fault. Part of no build.
#include <cuda_runtime.h>

// Its array is indexed by data: local memory.
__global__ void with_local_array(float* x, int n) {
  float a[32];
  for (int i = 0; i < n; ++i) a[x[i] > 0 ? i % 32 : 3] = x[i];
  for (int i = 0; i < 32; ++i) x[i] = a[i];
}

// 1024 threads leave each 64 registers, and 80 values are alive at every barrier.
__global__ void __launch_bounds__(1024) with_spills(float* x, const float* y, int n) {
  float a[80];
  for (int i = 0; i < 80; ++i) a[i] = y[i * n + threadIdx.x];
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < 80; ++i) a[i] = a[i] * a[(i + 1) % 80] + y[j];
    __syncthreads();
  }
  for (int i = 0; i < 80; ++i) x[i * n + threadIdx.x] = a[i];
}

// A function that is not inlined has a frame of its own.
__device__ __noinline__ float indexed(const float* x, int n) {
  float a[16];
  for (int i = 0; i < 16; ++i) a[(n + i) % 16] = x[i];
  return a[n % 16];
}
__global__ void with_a_call(float* x, int n) {
  x[threadIdx.x] = indexed(x, n);
}

// Named after tensor cores, but does not use them.
__global__ void slow_mma(float* d, const float* a, const float* b) {
  d[threadIdx.x] += a[threadIdx.x] * b[threadIdx.x];
}

__global__ void innocent(float* x) {
  x[threadIdx.x] *= 2.0f;
}

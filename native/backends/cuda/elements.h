// What pointwise kernels share: packs of elements that are loaded at once, activations, and how work is cut into blocks.
#pragma once

#include <algorithm>

#include "../../ops/op.h"
#include "primitives.h"
#include "runtime.h"

namespace ba_sam::cuda {

// kCount neighbours in memory, moved with 16-byte instructions (8-byte ones for smaller packs).
template <typename T, int kCount>
struct alignas(kCount * sizeof(T) < 16 ? kCount * sizeof(T) : 16) Pack {
  T v[kCount];
};

template <int kCount, typename T>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kCount>*>(from);
}
template <int kCount, typename T>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

// Exact GELU, with erf: that of PyTorch's nn.GELU().
__device__ __forceinline__ float activate(float x, Activation activation) {
  if (activation == Activation::relu) return x > 0.0f ? x : (x == x ? 0.0f : x);
  if (activation == Activation::gelu) return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
  return x;
}

constexpr int kBlockThreads = 256;
// Enough to fill any device many times over; kernels loop over what is left. Few in the emulation, or no test would see a
// loop.
#if defined(BA_SAM_CUDA_EMULATION)
constexpr int64_t kMaxBlocks = 3;
#else
constexpr int64_t kMaxBlocks = int64_t{1} << 18;
#endif

inline dim3 grid_for(int64_t items, int64_t items_per_block = kBlockThreads) {
  return dim3(static_cast<unsigned>(std::clamp<int64_t>(ceil_div(items, items_per_block), 1, kMaxBlocks)));
}

// for (int64_t i : …) of a grid-stride loop over single threads.
__device__ __forceinline__ int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t item_step() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// Calls f(T{}) with the element type of a float dtype.
template <typename F>
void dispatch(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    default:
      throw SamError("ERR_INTERNAL", std::string("No CUDA kernel for dtype ") + dtype_name(dtype));
  }
}

}  // namespace ba_sam::cuda

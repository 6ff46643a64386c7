// Products that cuBLASLt refuses, and what is left to do where it could not fuse the epilogue.
//
//   out [M, N] = act(x [M, K] · w [N, K]ᵀ + bias) + residual, f32 accumulation
//
// Split: a block of 16×16 threads makes a 64×64 tile of out, 4×4 a thread, 16 of K at a time; blocks stride over tiles.
// Shared memory: two 16×64 panels in f32, rows padded by 4 so that stores meet different banks.
// Hazards: nothing is assumed about alignment or about multiples; panels are filled up with zeros. Far below cuBLASLt's
//   speed: for odd channel counts, not for models.
// Reference: torch.nn.functional.linear.
#include "elements.h"
#include "kernels.h"

namespace ba_sam::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kSide = 16, kOwn = kTile / kSide;

template <typename In, typename Out>
struct Operands {
  Out* out;
  const In* x;
  const In* w;
  const Out* bias;
  const Out* residual;
  int64_t m, n, k, x_stride, w_stride;
  int64_t tiles_down, tiles_across, tiles;
  Activation activation;
};

// Rows first … first + 63 of a row-major matrix, columns k0 … k0 + 15, transposed into a panel.
template <typename In>
__device__ __forceinline__ void load_panel(float (*panel)[kTile + 4], const In* from, int64_t first, int64_t rows,
                                           int64_t k0, int64_t k) {
  const int thread = threadIdx.y * kSide + threadIdx.x, column = thread % kDepth;
#pragma unroll
  for (int i = 0; i < kTile * kDepth / (kSide * kSide); ++i) {
    const int row = thread / kDepth + i * (kSide * kSide / kDepth);
    const bool inside = first + row < rows && k0 + column < k;
    panel[column][row] = inside ? to_float(from[(first + row) * k + k0 + column]) : 0.0f;
  }
}

template <typename In, typename Out>
__global__ void __launch_bounds__(kSide* kSide) gemm_simt_kernel(Operands<In, Out> p) {
  __shared__ float x_panel[kDepth][kTile + 4];
  __shared__ float w_panel[kDepth][kTile + 4];
  for (int64_t t = blockIdx.x; t < p.tiles; t += gridDim.x) {
    const int64_t across = t % p.tiles_across, down = t / p.tiles_across % p.tiles_down;
    const int64_t b = t / (p.tiles_across * p.tiles_down);
    const int64_t row0 = down * kTile, column0 = across * kTile;
    float sums[kOwn][kOwn] = {};
    for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
      load_panel(x_panel, p.x + b * p.x_stride, row0, p.m, k0, p.k);
      load_panel(w_panel, p.w + b * p.w_stride, column0, p.n, k0, p.k);
      __syncthreads();
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        float x[kOwn], w[kOwn];
#pragma unroll
        for (int i = 0; i < kOwn; ++i) x[i] = x_panel[d][threadIdx.y * kOwn + i];
#pragma unroll
        for (int j = 0; j < kOwn; ++j) w[j] = w_panel[d][threadIdx.x + j * kSide];
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] += x[i] * w[j];
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int64_t row = row0 + threadIdx.y * kOwn + i;
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const int64_t column = column0 + threadIdx.x + j * kSide;
        if (row >= p.m || column >= p.n) continue;
        const int64_t at = (b * p.m + row) * p.n + column;
        float y = sums[i][j];
        if (p.bias) y += to_float(p.bias[column]);
        y = activate(y, p.activation);
        if (p.residual) y += to_float(p.residual[at]);
        p.out[at] = from_float<Out>(y);
      }
    }
  }
}

template <typename T, int kCount>
__global__ void __launch_bounds__(kBlockThreads)
    finish_product_kernel(T* out, const T* bias, int64_t columns, int64_t packs, Activation activation) {
  for (int64_t i = first_item(); i < packs; i += item_step()) {
    auto y = load_pack<kCount>(out + i * kCount);
    Pack<T, kCount> b = {};
    if (bias) b = load_pack<kCount>(bias + i * kCount % columns);
#pragma unroll
    for (int j = 0; j < kCount; ++j) y.v[j] = from_float<T>(activate(to_float(y.v[j]) + to_float(b.v[j]), activation));
    store_pack(out + i * kCount, y);
  }
}

template <typename In, typename Out>
void launch_simt(const GemmCall& call, cudaStream_t stream) {
  Operands<In, Out> p = {};
  p.out = static_cast<Out*>(call.out);
  p.x = static_cast<const In*>(call.x);
  p.w = static_cast<const In*>(call.w);
  p.bias = static_cast<const Out*>(call.bias);
  p.residual = static_cast<const Out*>(call.residual);
  p.m = call.m;
  p.n = call.n;
  p.k = call.k;
  p.x_stride = call.x_stride;
  p.w_stride = call.w_stride;
  p.tiles_down = ceil_div<int64_t>(call.m, kTile);
  p.tiles_across = ceil_div<int64_t>(call.n, kTile);
  p.tiles = p.tiles_down * p.tiles_across * call.batch;
  p.activation = call.activation;
  launch("a launch of a product", gemm_simt_kernel<In, Out>, grid_for(p.tiles, 1), dim3(kSide, kSide), 0, stream, p);
}

}  // namespace

void gemm_simt(const GemmCall& call, cudaStream_t stream) {
  dispatch(call.in_dtype, [&](auto in) {
    using In = decltype(in);
    if (call.out_dtype == DType::f32)
      launch_simt<In, float>(call, stream);
    else
      launch_simt<In, In>(call, stream);
  });
}

void finish_product(const GemmCall& call, bool with_bias, cudaStream_t stream) {
  dispatch(call.out_dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t count = call.batch * call.m * call.n;
    const auto start = [&](auto kernel, int64_t packs) {
      launch("a launch of a product's epilogue", kernel, grid_for(packs), dim3(kBlockThreads), 0, stream,
             static_cast<T*>(call.out), with_bias ? static_cast<const T*>(call.bias) : nullptr, call.n, packs,
             call.activation);
    };
    const uint64_t addresses = reinterpret_cast<uintptr_t>(call.out) | reinterpret_cast<uintptr_t>(call.bias);
    if (call.n % 8 == 0 && addresses % 16 == 0)
      start(finish_product_kernel<T, 8>, count / 8);
    else
      start(finish_product_kernel<T, 1>, count);
  });
}

}  // namespace ba_sam::cuda

// layerNorm on CUDA: out = activation((x − mean) / √(var + eps) · weight + bias) over the last axis.
//
// Shapes: x, out [rows, C] in f32, bf16 or f16, each of its own; weight, bias [C] f32; mean, rstd [rows] f32, or null.
// Split: a row belongs to `lanes` neighbouring lanes of a warp (32 from C = 256 on, so that narrow rows share a warp); a lane
//   keeps its part of the row in registers, kVectors packs of 8 elements, and reads memory once. Warps stride over rows.
//   Rows that do not fit (C not a multiple of 8, or above 1280) take one warp each and three passes.
// Shared memory: none.
// Hazards: the variance is taken around the mean, in f32, never as E[x²] − mean²: no cancellation. Lanes beyond the last row
//   take part in the shuffles with zeros.
// Reference: torch.nn.functional.layer_norm; SAM's LayerNorm2d is the same on channels-last data.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"

namespace ba_sam::cuda {
namespace {

constexpr int kPack = 8;

// The sum over groups of `lanes` neighbours, in every lane.
__device__ __forceinline__ float sum_over(float value, int lanes) {
  for (int offset = lanes / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// As many as registers allow without spills (scripts/check-cuda-kernels.mts): ptxas aims for one more with four vectors.
template <int kVectors>
constexpr int kBlocksPerSm = kVectors == 1   ? 5
                             : kVectors == 3 ? 4
                                             : 3;

template <typename In, typename Out, int kVectors>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerSm<kVectors>)
    layer_norm_kernel(Out* out, float* means, float* rstds, const In* x, const float* weight, const float* bias,
                      int64_t rows, int channels, float eps, Activation activation, int lanes) {
  const int lane = threadIdx.x % 32, member = lane % lanes, rows_per_warp = 32 / lanes;
  const int64_t step = item_step() / 32 * rows_per_warp;
  for (int64_t base = first_item() / 32 * rows_per_warp; base < rows; base += step) {
    const int64_t row = base + lane / lanes;
    const bool valid = row < rows;
    float values[kVectors][kPack];
    float sum = 0;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int c = (v * lanes + member) * kPack;
      if (valid && c < channels) {
        const auto pack = load_pack<kPack>(x + row * channels + c);
#pragma unroll
        for (int i = 0; i < kPack; ++i) sum += values[v][i] = to_float(pack.v[i]);
      } else {
#pragma unroll
        for (int i = 0; i < kPack; ++i) values[v][i] = 0;
      }
    }
    const float mean = sum_over(sum, lanes) / static_cast<float>(channels);
    float squares = 0;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      if ((v * lanes + member) * kPack >= channels) continue;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        values[v][i] -= mean;
        squares += values[v][i] * values[v][i];
      }
    }
    const float rstd = 1.0f / sqrtf(sum_over(squares, lanes) / static_cast<float>(channels) + eps);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int c = (v * lanes + member) * kPack;
      if (!valid || c >= channels) continue;
      const auto w = load_pack<kPack>(weight + c), b = load_pack<kPack>(bias + c);
      Pack<Out, kPack> y;
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        y.v[i] = from_float<Out>(activate(values[v][i] * rstd * w.v[i] + b.v[i], activation));
      }
      store_pack(out + row * channels + c, y);
    }
    // Last, because the compiler moves no load over a store.
    if (valid && member == 0) {
      if (means) means[row] = mean;
      if (rstds) rstds[row] = rstd;
    }
  }
}

template <typename In, typename Out>
__global__ void __launch_bounds__(kBlockThreads)
    layer_norm_any_kernel(Out* out, float* means, float* rstds, const In* x, const float* weight, const float* bias,
                          int64_t rows, int64_t channels, float eps, Activation activation) {
  const int lane = threadIdx.x % 32;
  for (int64_t row = first_item() / 32; row < rows; row += item_step() / 32) {
    const In* in = x + row * channels;
    float sum = 0, squares = 0;
    for (int64_t c = lane; c < channels; c += 32) sum += to_float(in[c]);
    const float mean = sum_over(sum, 32) / static_cast<float>(channels);
    if (means && lane == 0) means[row] = mean;
    for (int64_t c = lane; c < channels; c += 32) {
      const float d = to_float(in[c]) - mean;
      squares += d * d;
    }
    const float rstd = 1.0f / sqrtf(sum_over(squares, 32) / static_cast<float>(channels) + eps);
    if (rstds && lane == 0) rstds[row] = rstd;
    for (int64_t c = lane; c < channels; c += 32) {
      const float y = (to_float(in[c]) - mean) * rstd * weight[c] + bias[c];
      out[row * channels + c] = from_float<Out>(activate(y, activation));
    }
  }
}

struct LayerNormCall {
  void* out;
  float *mean, *rstd;
  const void* x;
  const float *weight, *bias;
  int64_t rows, channels;
  float eps;
  Activation activation;
  cudaStream_t stream;
};

template <typename In, typename Out, int kVectors>
void launch_in_registers(const LayerNormCall& call) {
  int lanes = 1;
  while (lanes < 32 && lanes * kPack * kVectors < call.channels) lanes *= 2;
  const int64_t rows_per_block = kBlockThreads / lanes;
  launch("a launch of layer_norm", layer_norm_kernel<In, Out, kVectors>, grid_for(call.rows, rows_per_block),
         dim3(kBlockThreads), 0, call.stream, static_cast<Out*>(call.out), call.mean, call.rstd,
         static_cast<const In*>(call.x), call.weight, call.bias, call.rows, static_cast<int>(call.channels), call.eps,
         call.activation, lanes);
}

// One kernel per width of SAM's encoders: neck and decoder up to 256, ViT-B 768, ViT-L 1024, ViT-H 1280.
template <typename In, typename Out>
void layer_norm(const LayerNormCall& call) {
  const bool packs = call.channels % kPack == 0;
  if (packs && call.channels <= 256) return launch_in_registers<In, Out, 1>(call);
  if (packs && call.channels <= 768) return launch_in_registers<In, Out, 3>(call);
  if (packs && call.channels <= 1024) return launch_in_registers<In, Out, 4>(call);
  if (packs && call.channels <= 1280) return launch_in_registers<In, Out, 5>(call);
  launch("a launch of layer_norm", layer_norm_any_kernel<In, Out>, grid_for(call.rows, kBlockThreads / 32),
         dim3(kBlockThreads), 0, call.stream, static_cast<Out*>(call.out), call.mean, call.rstd,
         static_cast<const In*>(call.x), call.weight, call.bias, call.rows, call.channels, call.eps, call.activation);
}

}  // namespace

KernelPtr make_kernel(const KernelContext& c, const LayerNormOp& op) {
  LayerNormCall call = {};
  call.rows = rows_of(c.out().shape);
  call.channels = c.out().shape.back();
  call.eps = static_cast<float>(op.eps);
  call.activation = op.activation;
  call.stream = c.backend.stream();
  const DType in = c.in(LayerNormOp::x).dtype, out = c.out().dtype;
  return kernel([=](const KernelIo& io) mutable {
    call.out = io.out[LayerNormOp::y];
    call.mean = static_cast<float*>(io.out[LayerNormOp::mean]);
    call.rstd = static_cast<float*>(io.out[LayerNormOp::rstd]);
    call.x = io.in[LayerNormOp::x];
    call.weight = static_cast<const float*>(io.in[LayerNormOp::weight]);
    call.bias = static_cast<const float*>(io.in[LayerNormOp::bias]);
    dispatch(in, [&](auto from) { dispatch(out, [&](auto to) { layer_norm<decltype(from), decltype(to)>(call); }); });
  });
}

}  // namespace ba_sam::cuda

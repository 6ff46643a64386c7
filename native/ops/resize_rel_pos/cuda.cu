// resizeRelPos on CUDA.
//
// Split: one thread per output element, threads stride over what the grid leaves.
// Shared memory: none.
// Hazards: everything is computed in f64 and rounded once, as on the CPU, so that both backends agree to the last bit or two.
//   The op depends on weights alone, unless they are trained: it runs once per plan.
// Reference: rel_table() of the PyTorch reference.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"

namespace ba_sam::cuda {
namespace {

__device__ __forceinline__ int64_t clamp_index(int64_t i, int64_t count) {
  return i < 0 ? 0 : i < count ? i : count - 1;
}

// [L, D] → coefficient · [L', D], linear, align_corners = false.
__global__ void __launch_bounds__(kBlockThreads)
    resize_rel_pos_kernel(float* out, const float* in, const float* coefficient, int64_t in_length, int64_t out_length,
                          int64_t channels) {
  for (int64_t i = first_item(); i < out_length * channels; i += item_step()) {
    const int64_t d = i % channels, row = i / channels;
    const double s =
        (static_cast<double>(row) + 0.5) * static_cast<double>(in_length) / static_cast<double>(out_length) - 0.5;
    const double source = s > 0 ? s : 0;
    const int64_t low = clamp_index(static_cast<int64_t>(source), in_length), high = clamp_index(low + 1, in_length);
    const double t = source - static_cast<double>(low);
    const double value = (1 - t) * in[low * channels + d] + t * in[high * channels + d];
    out[i] = static_cast<float>((coefficient ? static_cast<double>(*coefficient) : 1.0) * value);
  }
}

}  // namespace

// [L, D] → coefficient · [L', D].
KernelPtr make_kernel(const KernelContext& c, const ResizeRelPosOp&) {
  const Shape& table = c.in(ResizeRelPosOp::table).shape;
  const int64_t in_length = table[0], out_length = c.out().shape[0], channels = table[1];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of resizeRelPos", resize_rel_pos_kernel, grid_for(out_length * channels), dim3(kBlockThreads), 0,
           stream, static_cast<float*>(io.out[0]), static_cast<const float*>(io.in[ResizeRelPosOp::table]),
           static_cast<const float*>(io.in[ResizeRelPosOp::coefficient]), in_length, out_length, channels);
  });
}

}  // namespace ba_sam::cuda

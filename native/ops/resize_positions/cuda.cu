// resizePositions on CUDA.
//
// Split: one thread per output element, threads stride over what the grid leaves.
// Shared memory: none.
// Hazards: everything is computed in f64 and rounded once, as on the CPU, so that both backends agree to the last bit or two.
//   The op depends on weights alone, unless they are trained: it runs once per plan.
// Reference: resize_pos() of the PyTorch reference.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/elements.h"

namespace ba_sam::cuda {
namespace {

// Weights of PyTorch's bicubic interpolation, a = −0.75, for the taps at −1, 0, 1, 2.
__device__ __forceinline__ void cubic_weights(double t, double* w) {
  constexpr double a = -0.75;
  const auto inner = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  const auto outer = [](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  w[0] = outer(t + 1);
  w[1] = inner(t);
  w[2] = inner(1 - t);
  w[3] = outer(2 - t);
}

__device__ __forceinline__ int64_t clamp_index(int64_t i, int64_t count) {
  return i < 0 ? 0 : i < count ? i : count - 1;
}

// [in_h, in_w, C] → [out_h, out_w, C], align_corners = false, no antialias.
__global__ void __launch_bounds__(kBlockThreads)
    resize_positions_kernel(float* out, const float* in, int64_t in_h, int64_t in_w, int64_t out_h, int64_t out_w,
                            int64_t channels) {
  for (int64_t i = first_item(); i < out_h * out_w * channels; i += item_step()) {
    const int64_t c = i % channels, x = i / channels % out_w, y = i / channels / out_w;
    const double sy = (static_cast<double>(y) + 0.5) * static_cast<double>(in_h) / static_cast<double>(out_h) - 0.5;
    const double sx = (static_cast<double>(x) + 0.5) * static_cast<double>(in_w) / static_cast<double>(out_w) - 0.5;
    const double fy = floor(sy), fx = floor(sx);
    double wy[4], wx[4];
    cubic_weights(sy - fy, wy);
    cubic_weights(sx - fx, wx);
    double sum = 0;
    for (int j = 0; j < 4; ++j) {
      const int64_t yy = clamp_index(static_cast<int64_t>(fy) + j - 1, in_h);
      for (int k = 0; k < 4; ++k) {
        const int64_t xx = clamp_index(static_cast<int64_t>(fx) + k - 1, in_w);
        sum += wy[j] * wx[k] * in[(yy * in_w + xx) * channels + c];
      }
    }
    out[i] = static_cast<float>(sum);
  }
}

}  // namespace

// [1, S, S', C] → [1, Gh, Gw, C].
KernelPtr make_kernel(const KernelContext& c, const ResizePositionsOp&) {
  const Shape& in = c.in(ResizePositionsOp::positions).shape;
  const int64_t in_h = in[1], in_w = in[2], channels = in[3];
  const int64_t out_h = c.out().shape[1], out_w = c.out().shape[2];
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    launch("a launch of resizePositions", resize_positions_kernel, grid_for(out_h * out_w * channels),
           dim3(kBlockThreads), 0, stream, static_cast<float*>(io.out[0]),
           static_cast<const float*>(io.in[ResizePositionsOp::positions]), in_h, in_w, out_h, out_w, channels);
  });
}

}  // namespace ba_sam::cuda

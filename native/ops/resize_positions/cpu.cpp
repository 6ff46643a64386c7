// resizePositions on the CPU, in double: its error never shows.
#include <algorithm>
#include <cmath>

#include "../../backends/cpu/backend.h"

namespace ba_sam::cpu {
namespace {

// Weights of PyTorch's bicubic interpolation, a = −0.75, for the taps at −1, 0, 1, 2.
void cubic_weights(double t, double* w) {
  constexpr double a = -0.75;
  auto inner = [&](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };
  auto outer = [&](double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; };
  w[0] = outer(t + 1);
  w[1] = inner(t);
  w[2] = inner(1 - t);
  w[3] = outer(2 - t);
}

}  // namespace

// [1, S, S', C] → [1, Gh, Gw, C], bicubic, align_corners = false, no antialias.
// Reference: resize_pos() of the PyTorch reference.
KernelPtr make_kernel(const KernelContext& c, const ResizePositionsOp&) {
  const int64_t in_h = c.in(0).shape[1], in_w = c.in(0).shape[2], channels = c.in(0).shape[3];
  const int64_t out_h = c.out().shape[1], out_w = c.out().shape[2];
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    auto* out = static_cast<float*>(io.out[0]);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t y = 0; y < out_h; ++y) {
      const double sy = (static_cast<double>(y) + 0.5) * static_cast<double>(in_h) / static_cast<double>(out_h) - 0.5;
      const double fy = std::floor(sy);
      double wy[4];
      cubic_weights(sy - fy, wy);
      for (int64_t x = 0; x < out_w; ++x) {
        const double sx = (static_cast<double>(x) + 0.5) * static_cast<double>(in_w) / static_cast<double>(out_w) - 0.5;
        const double fx = std::floor(sx);
        double wx[4];
        cubic_weights(sx - fx, wx);
        const float* taps[16];
        double weights[16];
        for (int j = 0; j < 4; ++j) {
          const int64_t yy = std::clamp<int64_t>(static_cast<int64_t>(fy) + j - 1, 0, in_h - 1);
          for (int i = 0; i < 4; ++i) {
            const int64_t xx = std::clamp<int64_t>(static_cast<int64_t>(fx) + i - 1, 0, in_w - 1);
            taps[4 * j + i] = in + (yy * in_w + xx) * channels;
            weights[4 * j + i] = wy[j] * wx[i];
          }
        }
        float* target = out + (y * out_w + x) * channels;
        for (int64_t ch = 0; ch < channels; ++ch) {
          double sum = 0;
          for (int t = 0; t < 16; ++t) sum += weights[t] * taps[t][ch];
          target[ch] = static_cast<float>(sum);
        }
      }
    }
  });
}

}  // namespace ba_sam::cpu

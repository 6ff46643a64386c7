// resizeRelPos on the CPU, in double: its error never shows.
#include <algorithm>

#include "../../backends/cpu/backend.h"

namespace ba_sam::cpu {

// [L, D] → coefficient · [L', D], linear, align_corners = false. Reference: rel_table() of the PyTorch reference.
KernelPtr make_kernel(const KernelContext& c, const ResizeRelPosOp&) {
  const int64_t in_length = c.in(0).shape[0], out_length = c.out().shape[0], channels = c.in(0).shape[1];
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    const double coefficient = io.in[1] ? *static_cast<const float*>(io.in[1]) : 1.0;
    for (int64_t i = 0; i < out_length; ++i) {
      const double s = std::max(
          0.0, (static_cast<double>(i) + 0.5) * static_cast<double>(in_length) / static_cast<double>(out_length) - 0.5);
      const int64_t low = std::min(static_cast<int64_t>(s), in_length - 1);
      const int64_t high = std::min(low + 1, in_length - 1);
      const double t = s - static_cast<double>(low);
      float* target = static_cast<float*>(io.out[0]) + i * channels;
      for (int64_t d = 0; d < channels; ++d) {
        target[d] = static_cast<float>(coefficient * ((1 - t) * in[low * channels + d] + t * in[high * channels + d]));
      }
    }
  });
}

}  // namespace ba_sam::cpu

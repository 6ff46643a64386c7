// pointEncoding on the CPU.
#include <algorithm>

#include "../../backends/cpu/backend.h"
#include "fourier.h"

namespace ba_sam::cpu {

// coords [P, n, 2] px, labels [P, n] → [P, n, 2F]. Label −1: not_a_point alone; 0 background, 1 foreground, 2 and 3
// box corners: the encoding of the pixel's centre plus the label's embedding; any other label: the encoding alone.
// Reference: prompt_encoder() of the PyTorch reference.
KernelPtr make_kernel(const KernelContext& c, const PointEncodingOp& op) {
  const int64_t points = c.in(0).shape[0] * c.in(0).shape[1], features = c.in(2).shape[1];
  const auto width = static_cast<double>(op.input.width), height = static_cast<double>(op.input.height);
  return kernel([=](const KernelIo& io) {
    const auto* coords = static_cast<const float*>(io.in[PointEncodingOp::coords]);
    const auto* labels = static_cast<const int32_t*>(io.in[PointEncodingOp::labels]);
    for (int64_t p = 0; p < points; ++p) {
      float* out = static_cast<float*>(io.out[0]) + p * 2 * features;
      const int32_t label = labels[p];
      if (label == -1) {
        std::copy_n(static_cast<const float*>(io.in[PointEncodingOp::not_a_point]), 2 * features, out);
        continue;
      }
      encode_point(out, (coords[2 * p] + 0.5) / width, (coords[2 * p + 1] + 0.5) / height,
                   static_cast<const float*>(io.in[PointEncodingOp::gaussian]), features);
      if (label < 0 || label > 3) continue;
      const auto* embedding = static_cast<const float*>(io.in[PointEncodingOp::background + label]);
      for (int64_t f = 0; f < 2 * features; ++f) out[f] += embedding[f];
    }
  });
}

}  // namespace ba_sam::cpu

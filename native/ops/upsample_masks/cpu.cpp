// upsampleMasks on the CPU.
#include "../../backends/cpu/backend.h"
#include "../../image/upsample_masks.h"

namespace ba_sam::cpu {

// lowRes [P, M, h, w] → [P, M, H, W]: u8 masks (logit > 0) or f32 logits; see image/upsample_masks.h.
KernelPtr make_kernel(const KernelContext& c, const UpsampleMasksOp& op) {
  const Shape &low = c.in(0).shape, &out = c.out().shape;
  UpsampleParams params;
  params.masks = low[0] * low[1];
  params.low_h = low[2];
  params.low_w = low[3];
  params.input_w = op.input.width;
  params.input_h = op.input.height;
  params.content_w = op.content.width;
  params.content_h = op.content.height;
  params.out_h = out[2];
  params.out_w = out[3];
  const bool logits = c.out().dtype == DType::f32;
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const auto* in = static_cast<const float*>(io.in[0]);
    if (logits)
      upsample_logits(static_cast<float*>(io.out[0]), in, params, threads, io.cancel);
    else
      upsample_masks(static_cast<uint8_t*>(io.out[0]), nullptr, in, params, 0.0f, threads, io.cancel);
  });
}

}  // namespace ba_sam::cpu

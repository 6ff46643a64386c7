// Convolutions on oneDNN, channels-last, whose nodes have x, weight and bias? as operands.
#pragma once

#include "backend.h"

namespace ba_sam::cpu {

struct ConvolutionSettings {
  int64_t groups;  // weight [O, I / groups, kh, kw]
  int64_t stride, padding;
  Activation activation;
};

// x [B, H, W, I] → [B, H', W', O] with zero padding. Reference: torch.nn.functional.conv2d.
KernelPtr make_convolution(const KernelContext& c, const ConvolutionSettings& settings);

}  // namespace ba_sam::cpu

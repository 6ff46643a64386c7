// depthwiseConv2d: x [B, H, W, C], weight [C, 1, kh, kw], bias [C] → [B, H', W', C], every channel by itself, zero padding,
// then the activation.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const DepthwiseConv2dOp& op) {
  constexpr auto kX = DepthwiseConv2dOp::x;
  constexpr auto kWeight = DepthwiseConv2dOp::weight;
  c.expect_image_and_weight(kX, kWeight);
  const Shape &x = c.shape(kX), &w = c.shape(kWeight);
  c.require(w[0] == x[3] && w[1] == 1, "a weight [" + std::to_string(x[3]) + ", 1, kh, kw], not " + shape_text(w));
  c.expect_sliding_kernel(kX, kWeight, DepthwiseConv2dOp::bias, op.stride, op.padding);
}

double flops(const OpView& c, const DepthwiseConv2dOp&) {
  const Shape& w = c.in(DepthwiseConv2dOp::weight).shape;
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(w[2] * w[3]);
}

}  // namespace ba_sam

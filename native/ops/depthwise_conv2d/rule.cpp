// depthwiseConv2d: x [B, H, W, C], weight [C, 1, kh, kw], bias [C] → [B, H', W', C], every channel by itself, zero padding,
// then the activation.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const DepthwiseConv2dOp& op) {
  constexpr auto kX = DepthwiseConv2dOp::x;
  constexpr auto kWeight = DepthwiseConv2dOp::weight;
  c.expect_float(kX);
  c.expect_rank(kX, 4);
  c.expect_rank(kWeight, 4);
  c.expect_nonempty(kX);
  c.expect_nonempty(kWeight);
  c.expect_dtype(kWeight, c.dtype(kX));
  const Shape &x = c.shape(kX), &w = c.shape(kWeight);
  c.require(w[0] == x[3] && w[1] == 1, "a weight [" + std::to_string(x[3]) + ", 1, kh, kw], not " + shape_text(w));
  c.between(op.stride, 1, 64, "stride");
  c.between(op.padding, 0, 64, "padding");
  c.require(w[2] <= 64 && w[3] <= 64, "a kernel of at most 64 × 64");
  c.require(x[1] <= kMaxSide && x[2] <= kMaxSide, "an image of at most 2^20 a side");
  const int64_t padded_h = x[1] + 2 * op.padding, padded_w = x[2] + 2 * op.padding;
  c.require(padded_h >= w[2] && padded_w >= w[3], "an input at least as large as the kernel");
  if (c.has(DepthwiseConv2dOp::bias)) c.expect_vector(DepthwiseConv2dOp::bias, w[0]);
  c.expect_out({x[0], (padded_h - w[2]) / op.stride + 1, (padded_w - w[3]) / op.stride + 1, w[0]});
  c.expect_wide_out(kX);
}

double flops(const OpView& c, const DepthwiseConv2dOp&) {
  const Shape& w = c.in(DepthwiseConv2dOp::weight).shape;
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(w[2] * w[3]);
}

}  // namespace ba_sam

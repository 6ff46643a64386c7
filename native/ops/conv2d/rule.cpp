// conv2d: x [B, H, W, I], weight [O, I, kh, kw], bias [O] → [B, H', W', O], zero padding, then the activation.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const Conv2dOp& op) {
  c.expect_float(Conv2dOp::x);
  c.expect_rank(Conv2dOp::x, 4);
  c.expect_rank(Conv2dOp::weight, 4);
  c.expect_nonempty(Conv2dOp::x);
  c.expect_nonempty(Conv2dOp::weight);
  c.expect_dtype(Conv2dOp::weight, c.dtype(Conv2dOp::x));
  const Shape &x = c.shape(Conv2dOp::x), &w = c.shape(Conv2dOp::weight);
  c.require(w[1] == x[3], "x with " + std::to_string(w[1]) + " channels, not " + shape_text(x));
  c.between(op.stride, 1, 64, "stride");
  c.between(op.padding, 0, 64, "padding");
  c.require(w[2] <= 64 && w[3] <= 64, "a kernel of at most 64 × 64");
  c.require(x[1] <= kMaxSide && x[2] <= kMaxSide, "an image of at most 2^20 a side");
  const int64_t padded_h = x[1] + 2 * op.padding, padded_w = x[2] + 2 * op.padding;
  c.require(padded_h >= w[2] && padded_w >= w[3], "an input at least as large as the kernel");
  if (c.has(Conv2dOp::bias)) c.expect_vector(Conv2dOp::bias, w[0]);
  c.expect_out({x[0], (padded_h - w[2]) / op.stride + 1, (padded_w - w[3]) / op.stride + 1, w[0]});
  c.expect_wide_out(Conv2dOp::x);
}

double flops(const OpView& c, const Conv2dOp&) {
  const Shape& w = c.in(Conv2dOp::weight).shape;
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(w[1] * w[2] * w[3]);
}

}  // namespace ba_sam

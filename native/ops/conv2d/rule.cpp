// conv2d: x [B, H, W, I], weight [O, I, kh, kw], bias [O] → [B, H', W', O], zero padding, then the activation.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const Conv2dOp& op) {
  c.expect_image_and_weight(Conv2dOp::x, Conv2dOp::weight);
  const Shape &x = c.shape(Conv2dOp::x), &w = c.shape(Conv2dOp::weight);
  c.require(w[1] == x[3], "x with " + std::to_string(w[1]) + " channels, not " + shape_text(x));
  c.expect_sliding_kernel(Conv2dOp::x, Conv2dOp::weight, Conv2dOp::bias, op.stride, op.padding);
}

double flops(const OpView& c, const Conv2dOp&) {
  const Shape& w = c.in(Conv2dOp::weight).shape;
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(w[1] * w[2] * w[3]);
}

}  // namespace ba_sam

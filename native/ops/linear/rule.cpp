// linear: x [..., K] · weight [N, K]ᵀ + bias [N] → activation → + residual [..., N].
#include "../rule.h"

#include "../../core/f8.h"

namespace ba_sam {

void check(const Rule& c, const LinearOp& op) {
  c.expect_float(LinearOp::x);
  c.expect_rank(LinearOp::weight, 2);
  c.expect_dtype(LinearOp::weight, c.dtype(LinearOp::x));
  c.expect_nonempty(LinearOp::weight);
  const Shape &x = c.shape(LinearOp::x), &w = c.shape(LinearOp::weight);
  c.require(x.back() == w[1], "x with " + std::to_string(w[1]) + " channels, not " + shape_text(x));
  Shape expected = x;
  expected.back() = w[0];
  c.expect_out(expected);
  c.expect_wide_out(LinearOp::x);
  if (c.has(LinearOp::bias)) c.expect_vector(LinearOp::bias, w[0]);
  if (c.has(LinearOp::residual)) {
    c.expect_shape(LinearOp::residual, expected);
    c.expect_dtype(LinearOp::residual, c.out().dtype);
    c.require(op.activation == Activation::none, "no activation together with a residual");
  }
  if (op.f8) {
    c.require(w[0] % kF8Multiple == 0 && w[1] % kF8Multiple == 0,
              "a weight whose sides are multiples of " + std::to_string(kF8Multiple) + " for f8, not " + shape_text(w));
  }
}

double flops(const OpView& c, const LinearOp&) {
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(c.in(LinearOp::x).shape.back());
}

}  // namespace ba_sam

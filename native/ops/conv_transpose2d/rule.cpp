// convTranspose2d: x [B, H, W, I], weight [I, O, k, k], stride k → [B, k·H, k·W, O], then the activation.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const ConvTranspose2dOp&) {
  constexpr auto kX = ConvTranspose2dOp::x;
  constexpr auto kWeight = ConvTranspose2dOp::weight;
  c.expect_image_and_weight(kX, kWeight);
  const Shape &x = c.shape(kX), &w = c.shape(kWeight);
  c.require(w[0] == x[3] && w[2] == w[3] && w[2] <= 16,
            "a square kernel [" + std::to_string(x[3]) + ", out, k, k] with stride k, not " + shape_text(w));
  c.expect_image_sides(kX);
  if (c.has(ConvTranspose2dOp::bias)) c.expect_vector(ConvTranspose2dOp::bias, w[1]);
  c.expect_out({x[0], x[1] * w[2], x[2] * w[2], w[1]});
  c.expect_out_dtype(c.dtype(kX));
}

double flops(const OpView& c, const ConvTranspose2dOp&) {
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(c.in(ConvTranspose2dOp::x).shape[3]);
}

}  // namespace ba_sam

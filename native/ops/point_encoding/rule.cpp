// pointEncoding: coords [P, n, 2] px, labels [P, n] i32, gaussian [2, F], an embedding [1, 2F] per label → [P, n, 2F];
// coordinates are divided by the input's size.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const PointEncodingOp& op) {
  constexpr auto kCoords = PointEncodingOp::coords;
  constexpr auto kGaussian = PointEncodingOp::gaussian;
  c.expect_dtype(kCoords, DType::f32);
  c.expect_rank(kCoords, 3);
  c.expect_dtype(PointEncodingOp::labels, DType::i32);
  c.expect_dtype(kGaussian, DType::f32);
  c.expect_rank(kGaussian, 2);
  const Shape& coords = c.shape(kCoords);
  c.require(coords[2] == 2 && c.shape(kGaussian)[0] == 2, "coords [P, n, 2] and gaussian [2, F]");
  c.expect_shape(PointEncodingOp::labels, {coords[0], coords[1]});
  const int64_t channels = 2 * c.shape(kGaussian)[1];
  for (size_t i = PointEncodingOp::not_a_point; i <= PointEncodingOp::box_bottom_right; ++i) {
    c.expect_dtype(i, DType::f32);
    c.expect_shape(i, {1, channels});
  }
  c.between(op.input.width, 1, kMaxSide, "the width of input");
  c.between(op.input.height, 1, kMaxSide, "the height of input");
  c.expect_out({coords[0], coords[1], channels});
  c.expect_out_dtype(DType::f32);
}

double flops(const OpView&, const PointEncodingOp&) {
  return 0;
}

}  // namespace ba_sam

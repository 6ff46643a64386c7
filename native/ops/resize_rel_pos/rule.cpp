// resizeRelPos: table [L, D] → coefficient · [L', D], linear.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const ResizeRelPosOp&) {
  constexpr auto kTable = ResizeRelPosOp::table;
  c.expect_dtype(kTable, DType::f32);
  c.expect_rank(kTable, 2);
  c.expect_nonempty(kTable);
  const Shape& out = c.out().shape;
  c.require(out.size() == 2 && out[0] > 0 && out[1] == c.shape(kTable)[1],
            "an output [L, " + std::to_string(c.shape(kTable)[1]) + "], not " + shape_text(out));
  if (c.has(ResizeRelPosOp::coefficient)) c.expect_vector(ResizeRelPosOp::coefficient, 1);
  c.expect_out_dtype(DType::f32);
}

double flops(const OpView&, const ResizeRelPosOp&) {
  return 0;
}

}  // namespace ba_sam

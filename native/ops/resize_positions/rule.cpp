// resizePositions: [1, S, S', C] → [1, Gh, Gw, C], bicubic.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const ResizePositionsOp&) {
  constexpr auto kPositions = ResizePositionsOp::positions;
  c.expect_dtype(kPositions, DType::f32);
  c.expect_rank(kPositions, 4);
  c.expect_nonempty(kPositions);
  const Shape &in = c.shape(kPositions), &out = c.out().shape;
  c.require(in[0] == 1 && out.size() == 4 && out[0] == 1 && out[3] == in[3] && out[1] > 0 && out[2] > 0,
            "an output [1, Gh, Gw, C], not " + shape_text(out));
  c.expect_out_dtype(DType::f32);
}

double flops(const OpView&, const ResizePositionsOp&) {
  return 0;
}

}  // namespace ba_sam

// slice: x [B, N, C] → tokens start … start + count.
#include "../rule.h"

#include <algorithm>

namespace ba_sam {

void check(const Rule& c, const SliceOp& op) {
  c.expect_float(SliceOp::x);
  c.expect_rank(SliceOp::x, 3);
  const Shape& x = c.shape(SliceOp::x);
  c.between(op.start, 0, x[1], "start");
  c.between(op.count, 1, std::max<int64_t>(1, x[1]), "count");
  c.require(op.start + op.count <= x[1], "start + count of at most " + std::to_string(x[1]));
  c.expect_out({x[0], op.count, x[2]});
  c.expect_out_dtype(c.dtype(SliceOp::x));
}

double flops(const OpView&, const SliceOp&) {
  return 0;
}

}  // namespace ba_sam

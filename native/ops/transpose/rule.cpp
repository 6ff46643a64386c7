// transpose: [B, …, C] → [B, C, …] or back.
#include "../rule.h"

#include <algorithm>

namespace ba_sam {

void check(const Rule& c, const TransposeOp& op) {
  const Shape& x = c.shape(TransposeOp::x);
  c.expect_float(TransposeOp::x);
  c.require(x.size() >= 3, "x of rank 3 or more");
  Shape expected = x;
  if (op.to == ChannelOrder::channels_first) {
    std::rotate(expected.begin() + 1, expected.end() - 1, expected.end());
  } else {
    std::rotate(expected.begin() + 1, expected.begin() + 2, expected.end());
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(TransposeOp::x));
}

double flops(const OpView&, const TransposeOp&) {
  return 0;
}

}  // namespace ba_sam

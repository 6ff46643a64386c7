// reshape: the same elements under another shape; a view.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const ReshapeOp&) {
  const int64_t in = c.in(ReshapeOp::x).elements(), out = c.out().elements();
  c.require(in == out,
            "as many elements in " + shape_text(c.out().shape) + " as in " + shape_text(c.shape(ReshapeOp::x)));
  c.expect_out_dtype(c.dtype(ReshapeOp::x));
}

double flops(const OpView&, const ReshapeOp&) {
  return 0;
}

}  // namespace ba_sam

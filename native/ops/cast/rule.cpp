// cast: between f32, bf16 and f16, rounding to nearest even.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const CastOp&) {
  c.expect_float(CastOp::x);
  c.expect_float_out();
  c.expect_out(c.shape(CastOp::x));
}

double flops(const OpView&, const CastOp&) {
  return 0;
}

}  // namespace ba_sam

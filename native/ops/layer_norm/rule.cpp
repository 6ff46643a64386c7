// layerNorm: (x − mean) · rstd · weight + bias over the last axis, then the activation; mean and rstd [..., 1] f32 on demand.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const LayerNormOp& op) {
  c.expect_float(LayerNormOp::x);
  c.expect_nonempty(LayerNormOp::weight);
  c.expect_vector(LayerNormOp::weight, c.shape(LayerNormOp::x).back());
  c.expect_vector(LayerNormOp::bias, c.shape(LayerNormOp::x).back());
  c.require(static_cast<float>(op.eps) > 0 && op.eps < 1, "eps between 0 and 1");
  c.expect_out(c.shape(LayerNormOp::x));
  c.expect_float_out();
  Shape rows = c.shape(LayerNormOp::x);
  rows.back() = 1;
  for (const size_t i : {LayerNormOp::mean, LayerNormOp::rstd}) {
    if (!c.has_out(i)) continue;
    c.expect_out(rows, i);
    c.expect_out_dtype(DType::f32, i);
  }
}

double flops(const OpView&, const LayerNormOp&) {
  return 0;
}

}  // namespace ba_sam

// matmul: a [B, M, K] · b [B, N, K]ᵀ → [B, M, N].
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const MatmulOp&) {
  c.expect_float(MatmulOp::a);
  c.expect_dtype(MatmulOp::b, c.dtype(MatmulOp::a));
  c.expect_rank(MatmulOp::a, 3);
  c.expect_rank(MatmulOp::b, 3);
  c.expect_nonempty(MatmulOp::a);
  c.expect_nonempty(MatmulOp::b);
  const Shape &a = c.shape(MatmulOp::a), &b = c.shape(MatmulOp::b);
  c.require(a[0] == b[0] && a[2] == b[2],
            "a [B, M, K] and b [B, N, K], not " + shape_text(a) + " and " + shape_text(b));
  c.expect_out({a[0], a[1], b[1]});
  c.expect_wide_out(MatmulOp::a);
}

double flops(const OpView& c, const MatmulOp&) {
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(c.in(MatmulOp::a).shape[2]);
}

}  // namespace ba_sam

// concat: [B or 1, N_i, C] … → [B, ΣN_i, C].
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const ConcatOp&) {
  c.expect_float(0);
  c.expect_rank(0, 3);
  Shape expected = {1, 0, c.shape(0)[2]};
  for (size_t i = 0; i < c.node.inputs.size(); ++i) {
    c.require(c.has(i), "every input to be there");
    c.expect_rank(i, 3);
    c.expect_dtype(i, c.dtype(0));
    c.require(c.shape(i)[2] == expected[2], "inputs with the same channels");
    if (c.shape(i)[0] != 1) {
      c.require(expected[0] == 1 || expected[0] == c.shape(i)[0], "inputs with one batch size, or 1");
      expected[0] = c.shape(i)[0];
    }
    expected[1] += c.shape(i)[1];
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(0));
}

double flops(const OpView&, const ConcatOp&) {
  return 0;
}

}  // namespace ba_sam

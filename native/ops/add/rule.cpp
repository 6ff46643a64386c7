// add: a + b with numpy broadcasting over equal ranks.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const AddOp&) {
  c.expect_float(AddOp::a);
  c.expect_dtype(AddOp::b, c.dtype(AddOp::a));
  const Shape &a = c.shape(AddOp::a), &b = c.shape(AddOp::b);
  c.require(a.size() == b.size(), "a and b of the same rank");
  Shape expected(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    c.require(a[i] == b[i] || a[i] == 1 || b[i] == 1,
              "broadcastable shapes, not " + shape_text(a) + " and " + shape_text(b));
    expected[i] = a[i] == 1 ? b[i] : a[i];
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(AddOp::a));
}

double flops(const OpView&, const AddOp&) {
  return 0;
}

}  // namespace ba_sam

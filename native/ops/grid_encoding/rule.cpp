// gridEncoding: gaussian [2, F] → the encoding of every cell's centre [1, Gh, Gw, 2F].
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const GridEncodingOp&) {
  constexpr auto kGaussian = GridEncodingOp::gaussian;
  c.expect_dtype(kGaussian, DType::f32);
  c.expect_rank(kGaussian, 2);
  c.require(c.shape(kGaussian)[0] == 2, "gaussian [2, F]");
  const Shape& out = c.out().shape;
  c.require(out.size() == 4 && out[0] == 1 && out[3] == 2 * c.shape(kGaussian)[1],
            "an output [1, Gh, Gw, 2F], not " + shape_text(out));
  c.expect_out_dtype(DType::f32);
}

double flops(const OpView&, const GridEncodingOp&) {
  return 0;
}

}  // namespace ba_sam

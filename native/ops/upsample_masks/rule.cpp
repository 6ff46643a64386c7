// upsampleMasks: low-resolution logits [P, M, h, w] → bilinear to the encoder's input → its content → bilinear to
// [P, M, H, W]: u8 masks (logit > 0) or f32 logits.
#include "../rule.h"

namespace ba_sam {

void check(const Rule& c, const UpsampleMasksOp& op) {
  constexpr auto kLowRes = UpsampleMasksOp::low_res;
  c.expect_dtype(kLowRes, DType::f32);
  c.expect_rank(kLowRes, 4);
  c.expect_nonempty(kLowRes);
  c.between(op.input.width, 1, kMaxSide, "the width of input");
  c.between(op.input.height, 1, kMaxSide, "the height of input");
  c.between(op.content.width, 1, op.input.width, "the width of content");
  c.between(op.content.height, 1, op.input.height, "the height of content");
  const Shape &low = c.shape(kLowRes), &out = c.out().shape;
  c.require(out.size() == 4 && out[0] == low[0] && out[1] == low[1] && out[2] >= 1 && out[2] <= kMaxSide &&
                out[3] >= 1 && out[3] <= kMaxSide,
            "an output [P, M, H, W], not " + shape_text(out));
  const DType dtype = c.out().dtype;
  c.require(dtype == DType::u8 || dtype == DType::f32, "an output of dtype u8 (masks) or f32 (logits)");
}

double flops(const OpView&, const UpsampleMasksOp&) {
  return 0;
}

}  // namespace ba_sam

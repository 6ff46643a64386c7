// upsampleMasks: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

namespace {

// Bilinear, align_corners = false.
Array resize_plane(const Array& in, int64_t h, int64_t w, int64_t out_h, int64_t out_w) {
  Array out(static_cast<size_t>(out_h * out_w));
  for (int64_t y = 0; y < out_h; ++y) {
    for (int64_t x = 0; x < out_w; ++x) {
      const Resample ry(y, h, out_h), rx(x, w, out_w);
      const double top = (1 - rx.t) * in[ry.low * w + rx.low] + rx.t * in[ry.low * w + rx.high];
      const double bottom = (1 - rx.t) * in[ry.high * w + rx.low] + rx.t * in[ry.high * w + rx.high];
      out[y * out_w + x] = (1 - ry.t) * top + ry.t * bottom;
    }
  }
  return out;
}

}  // namespace

// Logits, also for u8 masks: the comparison knows.
std::vector<Array> reference(const NodeValues& n, const UpsampleMasksOp& op) {
  const Array& x = n[UpsampleMasksOp::low_res];
  const Shape &s = n.in(UpsampleMasksOp::low_res).shape, &os = n.out().shape;
  const int64_t plane = s[2] * s[3], width = op.input.width;
  Array out;
  for (int64_t m = 0; m < os[0] * os[1]; ++m) {
    const Array low(x.begin() + m * plane, x.begin() + (m + 1) * plane);
    const Array mid = resize_plane(low, s[2], s[3], op.input.height, width);
    Array content;
    for (int64_t y = 0; y < op.content.height; ++y) {
      content.insert(content.end(), mid.begin() + y * width, mid.begin() + y * width + op.content.width);
    }
    const Array full = resize_plane(content, op.content.height, op.content.width, os[2], os[3]);
    out.insert(out.end(), full.begin(), full.end());
  }
  return {out};
}

GraphSpec valid_graph(const UpsampleMasksOp&) {
  GraphSpec s;
  const auto low = s.input({2, 3, 4, 4});
  s.outputs = {s.node(UpsampleMasksOp{{16, 16}, {16, 12}}, {low}, {2, 3, 24, 32}, DType::u8)};
  return s;
}

void append_random(GraphMaker& g, const UpsampleMasksOp&) {
  const Shape s = {g.small(3), g.small(3), g.small(6), g.small(6)};
  const int64_t w = g.small(24), h = g.small(24), content_w = g.small(w), content_h = g.small(h);
  const auto low = g.fresh(s, DType::f32);
  g.spec.node(UpsampleMasksOp{{w, h}, {content_w, content_h}}, {low}, {s[0], s[1], g.small(30), g.small(30)},
              g.random.chance(0.5) ? DType::u8 : DType::f32);
}

std::vector<BrokenCase> broken_cases(const UpsampleMasksOp&) {
  using O = UpsampleMasksOp;
  const auto size = [](const char* name, double width, double height) {
    return attribute(name, std::vector<double>{width, height});
  };
  return {
      {"low_res of dtype f32", dtype(O::low_res, DType::bf16)},   {"low_res of rank 4", shape(O::low_res, {6, 4, 4})},
      {"low_res without empty", shape(O::low_res, {2, 0, 4, 4})}, {"for the width of input", size("input", 0, 16)},
      {"for the height of input", size("input", 16, 0)},          {"for the width of content", size("content", 17, 12)},
      {"for the height of content", size("content", 16, 0)},      {"output [P, M, H, W]", out_shape({2, 2, 24, 32})},
      {"output [P, M, H, W]", out_shape({2, 3, 0, 32})},          {"output of dtype u8", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

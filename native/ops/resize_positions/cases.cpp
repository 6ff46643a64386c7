// resizePositions: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

namespace {

// The cubic kernel of torch.nn.functional.interpolate.
double cubic(double d) {
  constexpr double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? a * (((d - 5) * d + 8) * d - 4) : 0;
}

}  // namespace

std::vector<Array> reference(const NodeValues& n, const ResizePositionsOp&) {
  const Array& positions = n[ResizePositionsOp::positions];
  const Shape &s = n.in(ResizePositionsOp::positions).shape, &os = n.out().shape;
  const int64_t channels = os[3];
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const double sy = (i / channels / os[2] + 0.5) * s[1] / static_cast<double>(os[1]) - 0.5;
    const double sx = (i / channels % os[2] + 0.5) * s[2] / static_cast<double>(os[2]) - 0.5;
    for (int64_t yy = static_cast<int64_t>(std::floor(sy)) - 1; yy <= std::floor(sy) + 2; ++yy) {
      for (int64_t xx = static_cast<int64_t>(std::floor(sx)) - 1; xx <= std::floor(sx) + 2; ++xx) {
        const int64_t cy = std::clamp<int64_t>(yy, 0, s[1] - 1), cx = std::clamp<int64_t>(xx, 0, s[2] - 1);
        y[i] += cubic(sy - yy) * cubic(sx - xx) * positions[(cy * s[2] + cx) * channels + i % channels];
      }
    }
  }
  return {y};
}

GraphSpec valid_graph(const ResizePositionsOp&) {
  GraphSpec s;
  s.outputs = {s.node(ResizePositionsOp{}, {s.weight({1, 4, 4, 6})}, {1, 3, 7, 6})};
  return s;
}

void append_random(GraphMaker& g, const ResizePositionsOp&) {
  const int64_t c = g.small(6);
  const auto positions = g.fresh({1, g.small(6), g.small(6), c}, DType::f32);
  g.spec.node(ResizePositionsOp{}, {positions}, {1, g.small(9), g.small(9), c});
}

std::vector<BrokenCase> broken_cases(const ResizePositionsOp&) {
  using O = ResizePositionsOp;
  return {
      {"positions of dtype f32", dtype(O::positions, DType::bf16)},
      {"positions of rank 4", shape(O::positions, {16, 6})},
      {"positions without empty", shape(O::positions, {1, 0, 4, 6})},
      {"output [1, Gh, Gw, C]", shape(O::positions, {2, 4, 4, 6})},
      {"output [1, Gh, Gw, C]", out_shape({1, 3, 7, 5})},
      {"output [1, Gh, Gw, C]", out_shape({1, 0, 7, 6})},
      {"output of dtype f32", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

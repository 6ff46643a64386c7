// gridEncoding: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const GridEncodingOp&) {
  const Array& gaussian = n[GridEncodingOp::gaussian];
  const Shape& os = n.out().shape;
  const int64_t channels = os[3], features = channels / 2;
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t c = i % channels, f = c % features;
    const double px = 2 * (i / channels % os[2] + 0.5) / static_cast<double>(os[2]) - 1;
    const double py = 2 * (i / channels / os[2] + 0.5) / static_cast<double>(os[1]) - 1;
    const double angle = 2 * M_PI * (px * gaussian[f] + py * gaussian[features + f]);
    y[i] = c < features ? std::sin(angle) : std::cos(angle);
  }
  return {y};
}

GraphSpec valid_graph(const GridEncodingOp&) {
  GraphSpec s;
  s.outputs = {s.node(GridEncodingOp{}, {s.weight({2, 4})}, {1, 3, 5, 8})};
  return s;
}

void append_random(GraphMaker& g, const GridEncodingOp&) {
  const int64_t f = g.small(5);
  g.spec.node(GridEncodingOp{}, {g.fresh({2, f}, DType::f32)}, {1, g.small(5), g.small(5), 2 * f});
}

std::vector<BrokenCase> broken_cases(const GridEncodingOp&) {
  using O = GridEncodingOp;
  return {
      {"gaussian of dtype f32", dtype(O::gaussian, DType::bf16)},
      {"gaussian of rank 2", shape(O::gaussian, {8})},
      {"gaussian [2, F]", shape(O::gaussian, {3, 4})},
      {"output [1, Gh, Gw, 2F]", out_shape({1, 3, 5, 4})},
      {"output [1, Gh, Gw, 2F]", out_shape({1, 15, 8})},
      {"output of dtype f32", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

// pointEncoding: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const PointEncodingOp& op) {
  const Array &coords = n[PointEncodingOp::coords], &labels = n[PointEncodingOp::labels];
  const Array& gaussian = n[PointEncodingOp::gaussian];
  const int64_t channels = n.out().shape[2], features = channels / 2;
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t p = i / channels, c = i % channels, f = c % features, label = static_cast<int64_t>(labels[p]);
    if (label == -1) {
      y[i] = n[PointEncodingOp::not_a_point][c];
      continue;
    }
    const double px = 2 * (coords[2 * p] + 0.5) / static_cast<double>(op.input.width) - 1;
    const double py = 2 * (coords[2 * p + 1] + 0.5) / static_cast<double>(op.input.height) - 1;
    const double angle = 2 * M_PI * (px * gaussian[f] + py * gaussian[features + f]);
    y[i] = c < features ? std::sin(angle) : std::cos(angle);
    if (label >= 0 && label < 4) y[i] += n[static_cast<size_t>(PointEncodingOp::background + label)][c];
  }
  return {y};
}

GraphSpec valid_graph(const PointEncodingOp&) {
  GraphSpec s;
  std::vector<uint32_t> inputs = {s.within(s.input({2, 3, 2}), -8, 72), s.input({2, 3}, DType::i32), s.weight({2, 4})};
  for (int i = 0; i < 5; ++i) inputs.push_back(s.weight({1, 8}));
  s.outputs = {s.node(PointEncodingOp{{64, 32}}, inputs, {2, 3, 8})};
  return s;
}

void append_random(GraphMaker& g, const PointEncodingOp&) {
  const int64_t p = g.small(3), n = g.random.integer(0, 4), f = g.small(5);
  std::vector<uint32_t> inputs = {g.spec.within(g.spec.input({p, n, 2}), -8, 72), g.spec.input({p, n}, DType::i32),
                                  g.weight({2, f})};
  for (int i = 0; i < 5; ++i) inputs.push_back(g.weight({1, 2 * f}));
  g.spec.node(PointEncodingOp{{64, 48}}, inputs, {p, n, 2 * f});
}

std::vector<BrokenCase> broken_cases(const PointEncodingOp&) {
  using O = PointEncodingOp;
  return {
      {"coords of dtype f32", dtype(O::coords, DType::bf16)},
      {"coords of rank 3", shape(O::coords, {6, 2})},
      {"labels of dtype i32", dtype(O::labels, DType::f32)},
      {"gaussian of dtype f32", dtype(O::gaussian, DType::bf16)},
      {"gaussian of rank 2", shape(O::gaussian, {2, 2, 2})},
      {"coords [P, n, 2] and gaussian [2, F]", shape(O::coords, {2, 3, 3})},
      {"coords [P, n, 2] and gaussian [2, F]", shape(O::gaussian, {3, 4})},
      {"labels of shape [2, 3]", shape(O::labels, {3, 2})},
      {"foreground of dtype f32", dtype(O::foreground, DType::bf16)},
      {"box_bottom_right of shape [1, 8]", shape(O::box_bottom_right, {1, 7})},
      {"for the width of input", attribute("input", std::vector<double>{0, 32})},
      {"for the height of input", attribute("input", std::vector<double>{64, 1 << 21})},
      {"width and height for input of pointEncoding (node 0) but received 64", attribute("input", 64)},
      {"width and height for input", attribute("input", std::vector<double>{64, 32, 3})},
      {"whole width and height for input", attribute("input", std::vector<double>{64, 31.5})},
      {"output of shape", out_shape({2, 3, 9})},
      {"output of dtype f32", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

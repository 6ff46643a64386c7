// convTranspose2d: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const ConvTranspose2dOp& op) {
  const Shape &xs = n.in(ConvTranspose2dOp::x).shape, &os = n.out().shape;
  const Array &x = n[ConvTranspose2dOp::x], &weight = n[ConvTranspose2dOp::weight];
  const int64_t k = n.in(ConvTranspose2dOp::weight).shape[2], channels = os[3];
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t o = i % channels, ox = i / channels % os[2], oy = i / channels / os[2] % os[1];
    const int64_t b = i / channels / os[2] / os[1];
    double sum = n.has(ConvTranspose2dOp::bias) ? n[ConvTranspose2dOp::bias][o] : 0;
    for (int64_t c = 0; c < xs[3]; ++c) {
      sum += x[((b * xs[1] + oy / k) * xs[2] + ox / k) * xs[3] + c] *
             weight[((c * channels + o) * k + oy % k) * k + ox % k];
    }
    y[i] = activate(sum, op.activation);
  }
  return {y};
}

GraphSpec valid_graph(const ConvTranspose2dOp&) {
  GraphSpec s;
  const auto x = s.input({2, 3, 5, 4}), weight = s.weight({4, 3, 2, 2}), bias = s.weight({3});
  s.outputs = {s.node(ConvTranspose2dOp{Activation::relu}, {x, weight, bias}, {2, 6, 10, 3})};
  return s;
}

void append_random(GraphMaker& g, const ConvTranspose2dOp&) {
  const auto x = g.pick(g.is_grid, [&] { return g.grid(); });
  const Shape s = g.at(x).shape;
  const int64_t k = g.small(3), out = g.small(9);
  const auto weight = g.weight({s[3], out, k, k}, g.dtype(x)), bias = g.maybe_weight({out});
  g.spec.node(ConvTranspose2dOp{g.activation()}, {x, weight, bias}, {s[0], s[1] * k, s[2] * k, out}, g.dtype(x));
}

std::vector<BrokenCase> broken_cases(const ConvTranspose2dOp&) {
  using O = ConvTranspose2dOp;
  return {
      {"x of dtype", dtype(O::x, DType::u8)},
      {"x of rank 4", shape(O::x, {2, 15, 4})},
      {"weight of rank 4", shape(O::weight, {4, 3, 2})},
      {"x without empty", shape(O::x, {2, 0, 5, 4})},
      {"weight without empty", shape(O::weight, {4, 3, 0, 0})},
      {"weight of dtype", dtype(O::weight, DType::bf16)},
      {"a square kernel", shape(O::weight, {4, 3, 2, 3})},
      {"a square kernel", shape(O::weight, {5, 3, 2, 2})},
      {"a square kernel", shape(O::weight, {4, 3, 17, 17})},
      {"2^20 a side", shape(O::x, {1, (1 << 20) + 1, 1, 4})},
      {"bias of shape [3]", shape(O::bias, {4})},
      {"for activation", attribute("activation", "gelu_tanh")},
      {"output of shape", out_shape({2, 6, 5, 3})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

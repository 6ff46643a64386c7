// linear: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const LinearOp& op) {
  const int64_t k = n.in(LinearOp::x).shape.back(), columns = n.out().shape.back();
  const Array x = op.f8 ? rounded_to_f8(n[LinearOp::x], k) : n[LinearOp::x];
  const Array weight = op.f8 ? rounded_to_f8(n[LinearOp::weight], k) : n[LinearOp::weight];
  Array y = n.zeros();
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t row = i / columns, column = i % columns;
    double sum = n.has(LinearOp::bias) ? n[LinearOp::bias][column] : 0;
    for (int64_t c = 0; c < k; ++c) sum += x[row * k + c] * weight[column * k + c];
    y[i] = activate(sum, op.activation) + (n.has(LinearOp::residual) ? n[LinearOp::residual][i] : 0);
  }
  return {y};
}

GraphSpec valid_graph(const LinearOp&) {
  GraphSpec s;
  const auto x = s.input({2, 5, 8}), weight = s.weight({6, 8}), bias = s.weight({6}), residual = s.input({2, 5, 6});
  s.outputs = {s.node(LinearOp{}, {x, weight, bias, residual}, {2, 5, 6})};
  return s;
}

// One linear layer, or two around a residual.
void append_random(GraphMaker& g, const LinearOp&) {
  const auto x = g.pick(g.has_channels, [&] { return g.tokens(); });
  const Shape shape = g.at(x).shape;
  const int64_t k = shape.back(), n = g.small(20);
  const DType type = g.dtype(x);
  const auto matrix = [&](int64_t rows, int64_t columns) {
    if (g.random.chance(0.8)) return g.weight({rows, columns}, type);
    const auto taps = g.weight({rows, columns, 1, 1}, type);  // a 1×1 convolution's
    return g.spec.node(ReshapeOp{}, {taps}, {rows, columns}, type);
  };
  if (g.random.chance(0.15)) {  // x is operand and residual at once: never in place
    const auto square = matrix(k, k);
    g.spec.node(LinearOp{}, {x, square, g.maybe_weight({k}), x}, shape, type);
    return;
  }
  Shape hidden = shape;
  hidden.back() = n;
  const auto w = matrix(n, k), bias = g.maybe_weight({n});
  const bool residual = g.random.chance(0.5);
  const DType wide = residual ? type : g.wide(x);
  const auto y = g.spec.node(LinearOp{g.activation()}, {x, w, bias}, hidden, wide);
  if (!residual) return;
  const auto back = matrix(k, n);
  g.spec.node(LinearOp{}, {y, back, g.maybe_weight({k}), x}, shape, type);
}

std::vector<BrokenCase> broken_cases(const LinearOp&) {
  using O = LinearOp;
  return {
      {"x of dtype f32, bf16 or f16", dtype(O::x, DType::i32)},
      {"weight of rank 2", shape(O::weight, {6, 8, 1})},
      {"weight of dtype f32 but received bf16", dtype(O::weight, DType::bf16)},
      {"weight without empty", both(shape(O::weight, {6, 0}), shape(O::x, {2, 5, 0}))},
      {"x with 7 channels", shape(O::weight, {6, 7})},
      {"output of shape [2, 5, 6]", out_shape({2, 5, 7})},
      {"output of dtype f32 or that of x", out_dtype(DType::bf16)},
      {"bias of shape [6]", shape(O::bias, {7})},
      {"bias of dtype f32", dtype(O::bias, DType::bf16)},
      {"one of none, relu, gelu for activation of linear (node 0) but received \"silu\"",
       attribute("activation", "silu")},
      {"one of none, relu, gelu for activation", attribute("activation", "")},
      {"one of none, relu, gelu for activation of linear (node 0) but received 1", attribute("activation", 1)},
      {"residual of shape [2, 5, 6]", shape(O::residual, {2, 6, 5})},
      {"residual of dtype f32", dtype(O::residual, DType::bf16)},
      {"no activation together with a residual", attribute("activation", "relu")},
      {"0 or 1 for f8", attribute("f8", 2)},
      {"0 or 1 for f8", attribute("f8", "true")},
      {"sides are multiples of 16 for f8, not [6, 8]", attribute("f8", 1)},
  };
}

}  // namespace ba_sam::test

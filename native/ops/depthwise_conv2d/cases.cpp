// depthwiseConv2d: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const DepthwiseConv2dOp& op) {
  using O = DepthwiseConv2dOp;
  const Shape &xs = n.in(O::x).shape, &w = n.in(O::weight).shape, &os = n.out().shape;
  const Array &x = n[O::x], &weight = n[O::weight];
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t c = i % os[3], ox = i / os[3] % os[2], oy = i / os[3] / os[2] % os[1], b = i / os[3] / os[2] / os[1];
    double sum = n.has(O::bias) ? n[O::bias][c] : 0;
    for (int64_t ky = 0; ky < w[2]; ++ky) {
      for (int64_t kx = 0; kx < w[3]; ++kx) {
        const int64_t yy = oy * op.stride + ky - op.padding, xx = ox * op.stride + kx - op.padding;
        if (yy < 0 || yy >= xs[1] || xx < 0 || xx >= xs[2]) continue;
        sum += x[((b * xs[1] + yy) * xs[2] + xx) * xs[3] + c] * weight[(c * w[2] + ky) * w[3] + kx];
      }
    }
    y[i] = activate(sum, op.activation);
  }
  return {y};
}

GraphSpec valid_graph(const DepthwiseConv2dOp&) {
  GraphSpec s;
  const auto x = s.input({2, 6, 5, 4}), weight = s.weight({4, 1, 3, 2}), bias = s.weight({4});
  s.outputs = {s.node(DepthwiseConv2dOp{2, 1, Activation::relu}, {x, weight, bias}, {2, 3, 3, 4})};
  return s;
}

void append_random(GraphMaker& g, const DepthwiseConv2dOp&) {
  const auto x = g.pick(g.is_grid, [&] { return g.grid(); });
  const Shape s = g.at(x).shape;
  const int64_t stride = g.small(3), padding = g.random.integer(0, 2);
  const int64_t kh = g.small(std::min<int64_t>(3, s[1] + 2 * padding));
  const int64_t kw = g.small(std::min<int64_t>(3, s[2] + 2 * padding));
  const auto weight = g.weight({s[3], 1, kh, kw}, g.dtype(x)), bias = g.maybe_weight({s[3]});
  g.spec.node(DepthwiseConv2dOp{stride, padding, g.activation()}, {x, weight, bias},
              {s[0], (s[1] + 2 * padding - kh) / stride + 1, (s[2] + 2 * padding - kw) / stride + 1, s[3]}, g.wide(x));
}

std::vector<BrokenCase> broken_cases(const DepthwiseConv2dOp&) {
  using O = DepthwiseConv2dOp;
  return {
      {"x of dtype", dtype(O::x, DType::u8)},
      {"x of rank 4", shape(O::x, {2, 30, 4})},
      {"weight of rank 4", shape(O::weight, {4, 3, 2})},
      {"x without empty", shape(O::x, {0, 6, 5, 4})},
      {"weight without empty", shape(O::weight, {4, 1, 0, 2})},
      {"weight of dtype", dtype(O::weight, DType::bf16)},
      {"a weight [4, 1, kh, kw]", shape(O::weight, {5, 1, 3, 2})},
      {"a weight [4, 1, kh, kw]", shape(O::weight, {4, 4, 3, 2})},
      {"for stride", attribute("stride", 0.0)},
      {"for stride", attribute("stride", 65)},
      {"for padding", attribute("padding", 65)},
      {"for padding", attribute("padding", -1)},
      {"for activation", attribute("activation", "tanh")},
      {"kernel of at most 64", shape(O::weight, {4, 1, 65, 2})},
      {"2^20 a side", shape(O::x, {1, (1 << 20) + 1, 5, 4})},
      {"at least as large as the kernel", shape(O::weight, {4, 1, 9, 2})},
      {"bias of shape [4]", shape(O::bias, {3})},
      {"output of shape [2, 3, 3, 4]", out_shape({2, 3, 4, 4})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

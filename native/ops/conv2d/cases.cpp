// conv2d: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const Conv2dOp& op) {
  const Shape &xs = n.in(Conv2dOp::x).shape, &w = n.in(Conv2dOp::weight).shape, &os = n.out().shape;
  const Array &x = n[Conv2dOp::x], &weight = n[Conv2dOp::weight];
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t o = i % os[3], ox = i / os[3] % os[2], oy = i / os[3] / os[2] % os[1], b = i / os[3] / os[2] / os[1];
    double sum = n.has(Conv2dOp::bias) ? n[Conv2dOp::bias][o] : 0;
    for (int64_t c = 0; c < w[1]; ++c) {
      for (int64_t ky = 0; ky < w[2]; ++ky) {
        for (int64_t kx = 0; kx < w[3]; ++kx) {
          const int64_t yy = oy * op.stride + ky - op.padding, xx = ox * op.stride + kx - op.padding;
          if (yy < 0 || yy >= xs[1] || xx < 0 || xx >= xs[2]) continue;
          sum += x[((b * xs[1] + yy) * xs[2] + xx) * xs[3] + c] * weight[((o * w[1] + c) * w[2] + ky) * w[3] + kx];
        }
      }
    }
    y[i] = activate(sum, op.activation);
  }
  return {y};
}

GraphSpec valid_graph(const Conv2dOp&) {
  GraphSpec s;
  const auto x = s.input({2, 6, 5, 3}), weight = s.weight({4, 3, 3, 2}), bias = s.weight({4});
  s.outputs = {s.node(Conv2dOp{2, 1, Activation::relu}, {x, weight, bias}, {2, 3, 3, 4})};
  return s;
}

void append_random(GraphMaker& g, const Conv2dOp&) {
  const auto x = g.pick(g.is_grid, [&] { return g.grid(); });
  const Shape s = g.at(x).shape;
  const int64_t stride = g.small(3), padding = g.random.integer(0, 2);
  const int64_t kh = g.small(std::min<int64_t>(3, s[1] + 2 * padding));
  const int64_t kw = g.small(std::min<int64_t>(3, s[2] + 2 * padding)), out = g.small(9);
  const auto weight = g.weight({out, s[3], kh, kw}, g.dtype(x)), bias = g.maybe_weight({out});
  g.spec.node(Conv2dOp{stride, padding, g.activation()}, {x, weight, bias},
              {s[0], (s[1] + 2 * padding - kh) / stride + 1, (s[2] + 2 * padding - kw) / stride + 1, out}, g.wide(x));
}

std::vector<BrokenCase> broken_cases(const Conv2dOp&) {
  using O = Conv2dOp;
  return {
      {"x of dtype", dtype(O::x, DType::u8)},
      {"x of rank 4", shape(O::x, {2, 30, 3})},
      {"weight of rank 4", shape(O::weight, {4, 3, 3})},
      {"x without empty", shape(O::x, {0, 6, 5, 3})},
      {"weight without empty", shape(O::weight, {0, 3, 3, 2})},
      {"weight of dtype", dtype(O::weight, DType::bf16)},
      {"x with 5 channels", shape(O::weight, {4, 5, 3, 2})},
      {"for stride", attribute("stride", 0.0)},
      {"for stride", attribute("stride", 65)},
      {"an integer for stride", attribute("stride", 1.5)},
      {"for padding", attribute("padding", 65)},
      {"for padding", attribute("padding", -1)},
      {"for activation", attribute("activation", -1)},
      {"kernel of at most 64", shape(O::weight, {4, 3, 65, 2})},
      {"2^20 a side", shape(O::x, {1, (1 << 20) + 1, 5, 3})},
      {"at least as large as the kernel", shape(O::weight, {4, 3, 9, 2})},
      {"bias of shape [4]", shape(O::bias, {3})},
      {"output of shape [2, 3, 3, 4]", out_shape({2, 3, 4, 4})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

// layerNorm: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const LayerNormOp& op) {
  const Array& x = n[LayerNormOp::x];
  const int64_t channels = n.out().shape.back();
  Array y = n.zeros(), mean(y.size() / channels), rstd(mean.size());
  for (size_t row = 0; row < mean.size(); ++row) {
    const double* in = &x[row * channels];
    double variance = 0;
    for (int64_t c = 0; c < channels; ++c) mean[row] += in[c] / static_cast<double>(channels);
    for (int64_t c = 0; c < channels; ++c) variance += (in[c] - mean[row]) * (in[c] - mean[row]);
    rstd[row] = 1 / std::sqrt(variance / static_cast<double>(channels) + op.eps);
    for (int64_t c = 0; c < channels; ++c) {
      const double normal = (in[c] - mean[row]) * rstd[row];
      y[row * channels + c] = activate(normal * n[LayerNormOp::weight][c] + n[LayerNormOp::bias][c], op.activation);
    }
  }
  return {y, mean, rstd};
}

GraphSpec valid_graph(const LayerNormOp&) {
  GraphSpec s;
  const auto x = s.input({2, 5, 8}), weight = s.weight({8}), bias = s.weight({8});
  s.outputs = {s.node(LayerNormOp{1e-6, Activation::gelu}, {x, weight, bias}, {2, 5, 8})};
  s.outputs.push_back(s.optional_output(LayerNormOp::mean, {2, 5, 1}));
  s.outputs.push_back(s.optional_output(LayerNormOp::rstd, {2, 5, 1}));
  return s;
}

void append_random(GraphMaker& g, const LayerNormOp&) {
  const auto x = g.pick(g.has_channels, [&] { return g.tokens(); });
  Shape shape = g.at(x).shape;
  const auto weight = g.weight({shape.back()}), bias = g.weight({shape.back()});
  g.spec.node(LayerNormOp{g.random.chance(0.5) ? 1e-6 : 1e-5, g.activation()}, {x, weight, bias}, shape, g.any_dtype());
  shape.back() = 1;
  for (const size_t output : {LayerNormOp::mean, LayerNormOp::rstd}) {
    if (g.random.chance(0.4)) g.spec.optional_output(output, shape);
  }
}

std::vector<BrokenCase> broken_cases(const LayerNormOp&) {
  using O = LayerNormOp;
  return {
      {"x of dtype f32, bf16 or f16", dtype(O::x, DType::u8)},
      {"weight without empty", both(shape(O::weight, {0}), shape(O::x, {2, 5, 0}))},
      {"weight of shape [8]", shape(O::weight, {9})},
      {"bias of shape [8]", shape(O::bias, {1, 8})},
      {"bias of dtype f32", dtype(O::bias, DType::bf16)},
      {"eps between 0 and 1", attribute("eps", 0.0)},
      {"eps between 0 and 1", attribute("eps", 1)},
      {"eps between 0 and 1", attribute("eps", 1e-60)},
      {"a number for eps", attribute("eps", "small")},
      {"for activation", attribute("activation", "tanh")},
      {"output of shape [2, 5, 8]", out_shape({2, 5, 9})},
      {"output of dtype f32, bf16 or f16", out_dtype(DType::u8)},
      {"output of shape [2, 5, 1]", out_shape({2, 5}, O::mean)},
      {"output of shape [2, 5, 1]", out_shape({2, 5, 8}, O::rstd)},
      {"output of dtype f32 but it is declared as bf16", out_dtype(DType::bf16, O::mean)},
      {"output of dtype f32 but it is declared as bf16", out_dtype(DType::bf16, O::rstd)},
  };
}

}  // namespace ba_sam::test

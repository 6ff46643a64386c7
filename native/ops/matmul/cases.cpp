// matmul: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const MatmulOp&) {
  const Shape &a = n.in(MatmulOp::a).shape, &b = n.in(MatmulOp::b).shape;
  Array y = n.zeros();
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / b[1], column = row / a[1] * b[1] + static_cast<int64_t>(i) % b[1];
    for (int64_t c = 0; c < a[2]; ++c) y[i] += n[MatmulOp::a][row * a[2] + c] * n[MatmulOp::b][column * a[2] + c];
  }
  return {y};
}

GraphSpec valid_graph(const MatmulOp&) {
  GraphSpec s;
  const auto a = s.input({2, 3, 4}), b = s.input({2, 5, 4});
  s.outputs = {s.node(MatmulOp{}, {a, b}, {2, 3, 5})};
  return s;
}

void append_random(GraphMaker& g, const MatmulOp&) {
  const auto a = g.pick([&](const auto& v) { return g.is_tokens(v) && g.nonempty(v); },
                        [&] {
                          return g.fresh({g.small(3), g.small(7), g.small(9)}, g.any_dtype());
                        });
  const Shape s = g.at(a).shape;
  const DType type = g.dtype(a);
  const auto fits = [&](const GraphMaker::Item& v) {
    return g.is_tokens(v) && g.nonempty(v) && v.shape[0] == s[0] && v.shape[2] == s[2] &&
           v.dtype == static_cast<uint8_t>(type);
  };
  const auto b = g.pick(fits, [&] { return g.fresh({s[0], g.small(9), s[2]}, type); });
  g.spec.node(MatmulOp{}, {a, b}, {s[0], s[1], g.at(b).shape[1]}, g.wide(a));
}

std::vector<BrokenCase> broken_cases(const MatmulOp&) {
  using O = MatmulOp;
  return {
      {"a of dtype", dtype(O::a, DType::i32)},
      {"b of dtype f32", dtype(O::b, DType::bf16)},
      {"a of rank 3", shape(O::a, {3, 4})},
      {"b of rank 3", shape(O::b, {5, 4})},
      {"a without empty", shape(O::a, {2, 0, 4})},
      {"b without empty", shape(O::b, {2, 0, 4})},
      {"a [B, M, K] and b [B, N, K]", shape(O::b, {1, 5, 4})},
      {"a [B, M, K] and b [B, N, K]", shape(O::b, {2, 5, 3})},
      {"output of shape [2, 3, 5]", out_shape({2, 5, 3})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

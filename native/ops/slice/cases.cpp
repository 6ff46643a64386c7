// slice: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const SliceOp& op) {
  const int64_t tokens = n.in(SliceOp::x).shape[1], channels = n.out().shape[2];
  Array y = n.zeros();
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t token = static_cast<int64_t>(i) / channels, b = token / op.count;
    y[i] = n[SliceOp::x][(b * tokens + op.start + token % op.count) * channels + i % channels];
  }
  return {y};
}

GraphSpec valid_graph(const SliceOp&) {
  GraphSpec s;
  s.outputs = {s.node(SliceOp{3, 4}, {s.input({2, 7, 4})}, {2, 4, 4})};
  return s;
}

void append_random(GraphMaker& g, const SliceOp&) {
  const auto x = g.pick([&](const auto& v) { return g.is_tokens(v) && v.shape[1] > 0; },
                        [&] {
                          return g.fresh({g.small(3), g.small(7), g.small(9)}, g.any_dtype());
                        });
  const Shape shape = g.at(x).shape;
  const int64_t start = g.random.integer(0, shape[1] - 1), count = g.small(shape[1] - start);
  g.spec.node(SliceOp{start, count}, {x}, {shape[0], count, shape[2]}, g.dtype(x));
}

std::vector<BrokenCase> broken_cases(const SliceOp&) {
  using O = SliceOp;
  return {
      {"x of dtype", dtype(O::x, DType::i32)},
      {"x of rank 3", shape(O::x, {7, 4})},
      {"for start", attribute("start", 8)},
      {"for start", attribute("start", -1)},
      {"an integer for start", attribute("start", 9007199254740994.0)},
      {"for count", attribute("count", 0.0)},
      {"for count", attribute("count", 8)},
      {"an integer for count of slice (node 0) but received a list", attribute("count", std::vector<double>{4, 4})},
      {"start + count of at most 7", attribute("count", 5)},
      {"output of shape [2, 4, 4]", out_shape({2, 5, 4})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

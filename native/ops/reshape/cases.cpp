// reshape: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const ReshapeOp&) {
  return {n[ReshapeOp::x]};
}

GraphSpec valid_graph(const ReshapeOp&) {
  GraphSpec s;
  s.outputs = {s.node(ReshapeOp{}, {s.input({2, 3, 4})}, {6, 1, 4})};
  return s;
}

void append_random(GraphMaker& g, const ReshapeOp&) {
  const auto x = g.pick(g.any, [&] { return g.tokens(); });
  int64_t rest = 1;
  for (int64_t dim : g.at(x).shape) rest *= dim;
  Shape shape;
  while (shape.size() < 4) {
    std::vector<int64_t> divisors;
    for (int64_t d = 1; d <= std::min<int64_t>(rest, 40); ++d) {
      if (rest % d == 0) divisors.push_back(d);
    }
    if (rest == 0) divisors = {0};
    shape.push_back(divisors[g.below(divisors.size())]);
    rest = rest ? rest / shape.back() : 0;
  }
  shape.back() *= std::max<int64_t>(1, rest);
  while (shape.size() > 1 && shape.front() == 1 && g.random.chance(0.5)) shape.erase(shape.begin());
  g.spec.node(ReshapeOp{}, {x}, shape, g.dtype(x));
}

std::vector<BrokenCase> broken_cases(const ReshapeOp&) {
  return {
      {"as many elements", out_shape({6, 4, 2})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

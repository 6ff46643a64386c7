// add: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const AddOp&) {
  const Shape& os = n.out().shape;
  Array y = n.zeros();
  for (size_t i = 0; i < y.size(); ++i) {
    for (const size_t operand : {AddOp::a, AddOp::b}) {
      const Shape& s = n.in(operand).shape;
      int64_t rest = static_cast<int64_t>(i), offset = 0, stride = 1;
      for (size_t d = os.size(); d-- > 0; rest /= os[d]) {
        if (s[d] > 1) offset += rest % os[d] * stride;
        stride *= s[d];
      }
      y[i] += n[operand][offset];
    }
  }
  return {y};
}

GraphSpec valid_graph(const AddOp&) {
  GraphSpec s;
  const auto a = s.input({2, 1, 4}), b = s.input({1, 3, 4});
  s.outputs = {s.node(AddOp{}, {a, b}, {2, 3, 4})};
  return s;
}

void append_random(GraphMaker& g, const AddOp&) {
  const auto a = g.pick(g.any, [&] { return g.tokens(); });
  const Shape shape = g.at(a).shape;
  const DType type = g.dtype(a);
  Shape other = shape;
  for (int64_t& dim : other) dim = g.random.chance(0.3) ? 1 : dim;
  const auto fits = [&](const GraphMaker::Item& v) {
    return v.shape == other && v.dtype == static_cast<uint8_t>(type);
  };
  const auto b = g.pick(fits, [&] { return g.fresh(other, type); });
  const bool first = g.random.chance(0.5);
  g.spec.node(AddOp{}, {first ? a : b, first ? b : a}, shape, type);
}

std::vector<BrokenCase> broken_cases(const AddOp&) {
  using O = AddOp;
  return {
      {"a of dtype", dtype(O::a, DType::i32)},
      {"b of dtype f32", dtype(O::b, DType::bf16)},
      {"of the same rank", shape(O::b, {3, 4})},
      {"broadcastable", shape(O::b, {1, 3, 5})},
      {"output of shape [2, 3, 4]", out_shape({2, 1, 4})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

// cast: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const CastOp&) {
  return {n[CastOp::x]};
}

GraphSpec valid_graph(const CastOp&) {
  GraphSpec s;
  s.outputs = {s.node(CastOp{}, {s.input({2, 3})}, {2, 3}, DType::bf16)};
  return s;
}

void append_random(GraphMaker& g, const CastOp&) {
  const auto x = g.pick(g.any, [&] { return g.tokens(); });
  g.spec.node(CastOp{}, {x}, g.at(x).shape, g.any_dtype());
}

std::vector<BrokenCase> broken_cases(const CastOp&) {
  return {
      {"x of dtype", dtype(CastOp::x, DType::i32)},
      {"output of dtype f32, bf16 or f16", out_dtype(DType::u8)},
      {"output of shape", out_shape({3, 2})},
  };
}

}  // namespace ba_sam::test

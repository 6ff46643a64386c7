// resizeRelPos: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const ResizeRelPosOp&) {
  const Array& table = n[ResizeRelPosOp::table];
  const Shape &s = n.in(ResizeRelPosOp::table).shape, &os = n.out().shape;
  const double coefficient = n.has(ResizeRelPosOp::coefficient) ? n[ResizeRelPosOp::coefficient][0] : 1.0;
  Array y = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t d = i % os[1];
    const Resample r(i / os[1], s[0], os[0]);
    y[i] = coefficient * ((1 - r.t) * table[r.low * os[1] + d] + r.t * table[r.high * os[1] + d]);
  }
  return {y};
}

GraphSpec valid_graph(const ResizeRelPosOp&) {
  GraphSpec s;
  const auto table = s.weight({7, 4}), coefficient = s.weight({1});
  s.outputs = {s.node(ResizeRelPosOp{}, {table, coefficient}, {11, 4})};
  return s;
}

void append_random(GraphMaker& g, const ResizeRelPosOp&) {
  const int64_t d = g.small(6);
  const auto table = g.fresh({g.small(9), d}, DType::f32), coefficient = g.maybe_weight({1});
  g.spec.node(ResizeRelPosOp{}, {table, coefficient}, {g.small(15), d});
}

std::vector<BrokenCase> broken_cases(const ResizeRelPosOp&) {
  using O = ResizeRelPosOp;
  return {
      {"table of dtype f32", dtype(O::table, DType::bf16)},
      {"table of rank 2", shape(O::table, {28})},
      {"table without empty", shape(O::table, {0, 4})},
      {"output [L, 4]", out_shape({11, 5})},
      {"output [L, 4]", out_shape({0, 4})},
      {"coefficient of shape [1]", shape(O::coefficient, {2})},
      {"output of dtype f32", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

// concat: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const ConcatOp&) {
  Array y;
  for (int64_t b = 0; b < n.out().shape[0]; ++b) {
    for (size_t i = 0; i < n.arrays.size(); ++i) {
      const Shape& s = n.in(i).shape;
      const auto from = n[i].begin() + (s[0] == 1 ? 0 : b) * s[1] * s[2];
      y.insert(y.end(), from, from + s[1] * s[2]);
    }
  }
  return {y};
}

GraphSpec valid_graph(const ConcatOp&) {
  GraphSpec s;
  const auto a = s.input({1, 2, 4}), b = s.input({3, 0, 4}), c = s.input({3, 5, 4});
  s.outputs = {s.node(ConcatOp{}, {a, b, c}, {3, 7, 4})};
  return s;
}

void append_random(GraphMaker& g, const ConcatOp&) {
  const auto first = g.pick(g.is_tokens, [&] { return g.tokens(); });
  const Shape shape = g.at(first).shape;
  const DType type = g.dtype(first);
  std::vector<uint32_t> inputs = {first};
  int64_t batch = shape[0], count = shape[1];
  for (int64_t i = g.random.integer(0, 3); i > 0; --i) {
    const auto fits = [&](const GraphMaker::Item& v) {
      return g.is_tokens(v) && v.shape[2] == shape[2] && v.dtype == static_cast<uint8_t>(type) &&
             (v.shape[0] == 1 || batch == 1 || v.shape[0] == batch);
    };
    inputs.push_back(g.pick(fits, [&] {
      return g.fresh({g.random.chance(0.5) ? 1 : batch, g.random.integer(0, 5), shape[2]}, type);
    }));
    batch = std::max(batch, g.at(inputs.back()).shape[0]);
    count += g.at(inputs.back()).shape[1];
  }
  g.spec.node(ConcatOp{}, inputs, {batch, count, shape[2]}, type);
}

std::vector<BrokenCase> broken_cases(const ConcatOp&) {
  return {
      {"x of dtype", dtype(0, DType::i32)},
      {"x of rank 3", shape(0, {2, 4})},
      {"every input to be there", absent(1)},
      {"x of rank 3", shape(1, {3, 0, 2, 2})},
      {"x of dtype f32", dtype(2, DType::bf16)},
      {"the same channels", shape(2, {3, 5, 3})},
      {"one batch size, or 1", shape(2, {2, 5, 4})},
      {"1 to 12 inputs", [](GraphSpec& s) { s.nodes[0].inputs.resize(13, 0); }},
      {"1 to 12 inputs", [](GraphSpec& s) { s.nodes[0].inputs.clear(); }},
      {"output of shape [3, 7, 4]", out_shape({3, 8, 4})},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

// transpose: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const TransposeOp& op) {
  const Shape& s = n.in(TransposeOp::x).shape;
  const bool first = op.to == ChannelOrder::channels_first;
  const int64_t channels = first ? s.back() : s[1], elements = n.out().elements();
  const int64_t other = elements ? elements / s[0] / channels : 0;
  Array y = n.zeros();
  for (int64_t i = 0; i < elements; ++i) {
    const int64_t b = i / (channels * other), r = i % (channels * other);
    const int64_t c = first ? r / other : r % channels, t = first ? r % other : r / channels;
    y[i] = n[TransposeOp::x][b * channels * other + (first ? t * channels + c : c * other + t)];
  }
  return {y};
}

GraphSpec valid_graph(const TransposeOp&) {
  GraphSpec s;
  s.outputs = {s.node(TransposeOp{ChannelOrder::channels_first}, {s.input({2, 3, 5, 4})}, {2, 4, 3, 5})};
  return s;
}

void append_random(GraphMaker& g, const TransposeOp&) {
  const auto x = g.pick([](const auto& v) { return v.shape.size() >= 3; }, [&] { return g.grid(); });
  Shape s = g.at(x).shape;
  const bool first = g.random.chance(0.5);
  if (first) {
    std::rotate(s.begin() + 1, s.end() - 1, s.end());
  } else {
    std::rotate(s.begin() + 1, s.begin() + 2, s.end());
  }
  const TransposeOp op{first ? ChannelOrder::channels_first : ChannelOrder::channels_last};
  g.spec.node(op, {x}, s, g.dtype(x));
}

std::vector<BrokenCase> broken_cases(const TransposeOp&) {
  using O = TransposeOp;
  return {
      {"x of dtype", dtype(O::x, DType::u8)},
      {"rank 3 or more", shape(O::x, {6, 5})},
      {"one of channelsLast, channelsFirst for to", attribute("to", "channels_first")},
      {"one of channelsLast, channelsFirst for to", attribute("to", 1)},
      {"output of shape [2, 4, 3, 5]", out_shape({2, 3, 5, 4})},
      {"output of shape [2, 5, 4, 3]", attribute("to", "channelsLast")},
      {"output of dtype", out_dtype(DType::bf16)},
  };
}

}  // namespace ba_sam::test

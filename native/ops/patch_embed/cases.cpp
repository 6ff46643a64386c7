// patchEmbed: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

std::vector<Array> reference(const NodeValues& n, const PatchEmbedOp& op) {
  const Shape &w = n.in(PatchEmbedOp::weight).shape, &os = n.out().shape;
  const Array &pixels = n[PatchEmbedOp::pixels], &weight = n[PatchEmbedOp::weight];
  const int64_t p = w[2], height = os[1] * p, width = os[2] * p, channels = os[3];
  const bool bytes = n.in(PatchEmbedOp::pixels).dtype == DType::u8;
  const auto pixel = [&](int64_t b, int64_t c, int64_t y, int64_t x) {
    if (!bytes) return pixels[((b * w[1] + c) * height + y) * width + x];
    const Array& content = n[PatchEmbedOp::content];
    const bool inside = y < content[2 * b] && x < content[2 * b + 1];
    return inside ? (pixels[((b * height + y) * width + x) * 3 + c] - op.pixel_mean[c]) / op.pixel_std[c] : 0.0;
  };
  Array out = n.zeros();
  for (int64_t i = 0; i < n.out().elements(); ++i) {
    const int64_t o = i % channels, gx = i / channels % os[2], gy = i / channels / os[2] % os[1];
    const int64_t b = i / channels / os[2] / os[1];
    double sum = n.has(PatchEmbedOp::bias) ? n[PatchEmbedOp::bias][o] : 0;
    for (int64_t c = 0; c < w[1]; ++c) {
      for (int64_t t = 0; t < p * p; ++t) {
        sum += rounded(pixel(b, c, gy * p + t / p, gx * p + t % p), n.in(PatchEmbedOp::weight).dtype) *
               weight[(o * w[1] + c) * p * p + t];
      }
    }
    const bool positions = n.has(PatchEmbedOp::positions);
    out[i] = sum + (positions ? n[PatchEmbedOp::positions][(gy * os[2] + gx) * channels + o] : 0);
  }
  return {out};
}

namespace {

// Of u8 pixels, as a photograph is decoded.
GraphSpec photograph(int64_t channels) {
  GraphSpec s;
  const auto x = s.input({2, 8, 12, channels}, DType::u8), w = s.weight({6, channels, 4, 4}), bias = s.weight({6});
  const auto positions = s.input({1, 2, 3, 6}), content = s.within(s.input({2, 2}, DType::i32), -2, 13);
  s.outputs = {s.node(PatchEmbedOp{{100, 110, 120}, {40, 50, 60}}, {x, w, bias, positions, content}, {2, 2, 3, 6})};
  return s;
}

// Of f32 pixels that are normalised.
GraphSpec floats() {
  GraphSpec s;
  const auto x = s.input({2, 3, 8, 12}), w = s.weight({6, 3, 4, 4}), bias = s.weight({6});
  const auto positions = s.input({1, 2, 3, 6});
  s.outputs = {s.node(PatchEmbedOp{}, {x, w, bias, positions}, {2, 2, 3, 6})};
  return s;
}

Change of(const GraphSpec& spec, Change change) {
  return [=](GraphSpec& s) {
    s = spec;
    change(s);
  };
}

}  // namespace

GraphSpec valid_graph(const PatchEmbedOp&) {
  return photograph(3);
}

void append_random(GraphMaker& g, const PatchEmbedOp&) {
  const int64_t p = g.small(4), gh = g.small(4), gw = g.small(5), c = g.small(12), b = g.small(3);
  const bool bytes = g.random.chance(0.5);
  const int64_t channels = bytes ? 3 : g.small(3);
  const auto x = bytes ? g.spec.input({b, gh * p, gw * p, 3}, DType::u8) : g.spec.input({b, channels, gh * p, gw * p});
  const auto matrix = g.weight({c, channels, p, p}, g.any_dtype()), bias = g.maybe_weight({c});
  const auto positions = g.random.chance(0.5) ? g.fresh({1, gh, gw, c}, DType::f32) : kAbsent;
  std::vector<uint32_t> inputs = {x, matrix, bias, positions};
  PatchEmbedOp op;
  if (bytes) {
    for (int i = 0; i < 3; ++i) op.pixel_mean.push_back(g.random.uniform(90, 130));
    for (int i = 0; i < 3; ++i) op.pixel_std.push_back(g.random.uniform(40, 70));
    inputs.push_back(g.spec.within(g.spec.input({b, 2}, DType::i32), -2, 23));  // it may be said to lie anywhere
  }
  g.spec.node(op, inputs, {b, gh, gw, c});
}

std::vector<BrokenCase> broken_cases(const PatchEmbedOp&) {
  using O = PatchEmbedOp;
  const std::vector<double> three = {1, 2, 3};
  return {
      {"pixels of dtype f32 or u8", of(floats(), dtype(O::pixels, DType::bf16))},
      {"pixels of rank 4", of(floats(), shape(O::pixels, {3, 8, 12}))},
      {"weight of rank 4", of(floats(), shape(O::weight, {6, 48}))},
      {"pixels without empty", of(floats(), shape(O::pixels, {0, 3, 8, 12}))},
      {"weight without empty", of(floats(), shape(O::weight, {6, 3, 0, 0}))},
      {"weight of dtype", of(floats(), dtype(O::weight, DType::i32))},
      {"a weight [C, 3, P, P]", of(floats(), shape(O::weight, {6, 4, 4, 4}))},
      {"a weight [C, 3, P, P]", of(floats(), shape(O::weight, {6, 3, 4, 2}))},
      {"multiples of 4", of(floats(), shape(O::pixels, {2, 3, 8, 10}))},
      {"bias of shape [6]", of(floats(), shape(O::bias, {7}))},
      {"positions of dtype f32", of(floats(), dtype(O::positions, DType::bf16))},
      {"positions of shape [1, 2, 3, 6]", of(floats(), shape(O::positions, {2, 2, 3, 6}))},
      {"output of shape", of(floats(), out_shape({2, 3, 2, 6}))},
      {"output of dtype f32", of(floats(), out_dtype(DType::bf16))},
      {"neither content nor means and deviations with f32", of(floats(), attribute("pixel_mean", three))},
      {"neither content nor means and deviations with f32", of(floats(), attribute("pixel_std", three))},
      {"neither content nor means and deviations with f32",
       of(floats(), [](GraphSpec& s) { s.nodes[0].inputs.push_back(0); })},
      {"a weight [C, 12, P, P]", of(floats(), dtype(O::pixels, DType::u8))},
      {"u8 pixels [B, H, W, 3]", of(photograph(4), [](GraphSpec&) {})},
      {"multiples of 4", shape(O::pixels, {2, 8, 10, 3})},
      {"content with u8", absent(O::content)},
      {"content of dtype i32", dtype(O::content, DType::u8)},
      {"content of shape [2, 2]", shape(O::content, {1, 2})},
      {"three means", attribute("pixel_std", std::vector<double>{1, 2})},
      {"three means", attribute("pixel_mean", std::vector<double>{1, 2, 3, 4})},
      {"numbers for pixel_mean", attribute("pixel_mean", "grey")},
      {"deviations above 0", attribute("pixel_std", std::vector<double>{1, 2, 0})},
      {"deviations above 0", attribute("pixel_std", std::vector<double>{1e-60, 2, 3})},
      {"deviations above 0", attribute("pixel_std", std::vector<double>{1e39, 2, 3})},
      {"means of at most 1e30", attribute("pixel_mean", std::vector<double>{1, 2, -1e39})},
  };
}

}  // namespace ba_sam::test

// Every op of the CUDA backend against the float64 loops of test/native/reference.h: random graphs, and the shapes at which
// kernels change their way. Prints "N passed, N failed". BA_SAM_TEST_SEED and BA_SAM_TEST_GRAPHS change what is drawn.
#include <cstdlib>

#include "../../native/image/upsample_masks.h"
#include "../native/graph_fixture.h"
#include "../native/random_graph.h"
#include "cuda_support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;
const std::vector<DType> kFloats = {DType::f32, DType::bf16, DType::f16};

int64_t number_from(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoll(text) : otherwise;
}

// One plan per spec on a fresh store, compared node by node.
void check_spec(const GraphSpec& spec, Random& random, const std::string& name,
                const cuda::BackendOptions& options = {}) {
  std::set<Op> seen;
  const std::string problem = problem_of(spec, random, cuda::make_cuda_backend(options), &seen);
  g_counts.check(problem.empty(), name + ": " + problem);
}

std::string label(const char* op, std::initializer_list<int64_t> numbers, DType in, DType out) {
  std::string text = op;
  for (int64_t number : numbers) text += " " + std::to_string(number);
  return text + " " + dtype_name(in) + " → " + dtype_name(out);
}

void test_random_graphs(Random& random, int each, int graphs) {
  std::set<Op> seen, poisoned;
  const auto backend = cuda::make_cuda_backend({});
  for (int op = 0; op < kOpCount; ++op) {
    const OpInfo& info = op_info(static_cast<Op>(op));
    for (int i = 0; i < each; ++i) {
      GraphMaker maker(random, {DType::bf16, DType::f16});
      maker.step(static_cast<Op>(op));
      const auto last = maker.spec.nodes.back();
      if (info.is_view && maker.at(last.inputs[0]).kind == static_cast<uint8_t>(ValueKind::weight)) continue;
      maker.spec.outputs = {last.outputs[0]};
      const std::string problem = problem_of(maker.spec, random, backend, &seen);
      g_counts.check(problem.empty(), std::string(info.name) + " " + std::to_string(i) + ": " + problem);
      // What is not a number stays so, in every op, whatever its activation.
      const std::string swallowed = problem_of(maker.spec, random, backend, &poisoned, true);
      g_counts.check(swallowed.empty(), std::string(info.name) + " " + std::to_string(i) + ", poisoned: " + swallowed);
    }
  }
  for (int i = 0; i < graphs; ++i) {
    const GraphSpec spec = GraphMaker(random, {DType::bf16, DType::f16}).make(static_cast<int>(random.integer(2, 25)));
    const std::string problem = problem_of(spec, random, backend, &seen);
    g_counts.check(problem.empty(), "graph " + std::to_string(i) + ": " + problem);
  }
  g_counts.check(seen.size() == kOpCount, "every op was run");
  g_counts.check(poisoned.size() == kOpCount, "what is not a number reached an output of every op");
}

// Widths on both sides of every choice: packs or not, rows that share a warp, one kernel per register count.
void test_layer_norm(Random& random) {
  for (int64_t channels : {1, 4, 8, 16, 20, 64, 96, 200, 256, 264, 768, 776, 1024, 1280, 1288, 1500}) {
    for (DType in : kFloats) {
      for (DType out : kFloats) {
        GraphSpec s;
        const auto x = s.input({3, 3, channels}, in);
        s.outputs = {s.node(LayerNormOp{1e-6, static_cast<Activation>(random.integer(0, 2))},
                            {x, s.weight({channels}), s.weight({channels})}, {3, 3, channels}, out)};
        for (const size_t output : {LayerNormOp::mean, LayerNormOp::rstd}) {
          if (random.chance(0.7)) s.outputs.push_back(s.optional_output(output, {3, 3, 1}));
        }
        check_spec(s, random, label("layerNorm", {channels}, in, out));
      }
    }
  }
  // More rows than one block has, and a mean far from zero: E[x²] − mean² would lose everything.
  GraphSpec s;
  const auto x = s.input({700, 64});
  s.outputs = {s.node(LayerNormOp{1e-6}, {x, s.weight({64}), s.weight({64})}, {700, 64})};
  const auto backend = cuda::make_cuda_backend({});
  Fixture f(s, random, backend);
  f.fill(x, random, 4000, 4001);
  Plan plan(f.weights, f.graph);
  const Array actual = loaded(f.run(plan)[0], DType::f32);
  std::vector<Array> in;
  for (uint32_t v : f.graph.nodes[0].inputs) in.push_back(loaded(f.data[v], DType::f32));
  const Array expected = reference(f.graph, f.graph.nodes[0], {&in[0], &in[1], &in[2]})[0];
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(actual[i] - expected[i]));
  g_counts.check(!(worst > 2e-2) && worst == worst, "layerNorm far from zero: " + std::to_string(worst));
}

// Biases that no weight store keeps: an input, and one that the graph computes from weights.
void test_computed_bias(Random& random) {
  for (DType dtype : kFloats) {
    GraphSpec s;
    const auto x = s.input({5, 16}, dtype), bias = s.input({24});
    const auto sum = s.node(AddOp{}, {s.weight({24}), s.weight({24})}, {24});
    const auto w = s.weight({24, 16}, dtype), taps = s.weight({24, 16, 1, 3}, dtype);
    const auto picture = s.input({1, 2, 5, 16}, dtype);
    s.outputs = {s.node(LinearOp{Activation::gelu}, {x, w, bias}, {5, 24}, dtype),
                 s.node(LinearOp{Activation::relu}, {x, w, sum}, {5, 24}, dtype),
                 s.node(Conv2dOp{1, 0, Activation::relu}, {picture, taps, bias}, {1, 2, 3, 24}, dtype)};
    check_spec(s, random, std::string("a computed bias in ") + dtype_name(dtype));
  }
}

// Weights that the graph computes, that come with the run, or that change between runs, of every op that multiplies by one;
// wider than a tile of the transposition, and odd.
void test_computed_weights(Random& random, const cuda::BackendOptions& options) {
  for (DType dtype : kFloats) {
    for (const ValueKind kind : {ValueKind::computed, ValueKind::input, ValueKind::parameter}) {
      GraphSpec s;
      const auto weight = [&](const Shape& shape) {
        if (kind != ValueKind::computed) return s.value(kind, shape, dtype);
        return s.node(CastOp{}, {s.input(shape)}, shape, dtype);
      };
      const auto picture = s.input({1, 4, 5, 36}, dtype), photo = s.input({1, 3, 8, 12});
      s.outputs = {s.node(LinearOp{}, {picture, weight({24, 36}), s.weight({24})}, {1, 4, 5, 24}, dtype),
                   s.node(Conv2dOp{1, 1}, {picture, weight({7, 36, 3, 3}), s.weight({7})}, {1, 4, 5, 7}, dtype),
                   s.node(Conv2dOp{}, {picture, weight({40, 36, 1, 1}), kAbsent}, {1, 4, 5, 40}, dtype),
                   s.node(ConvTranspose2dOp{}, {picture, weight({36, 33, 3, 3}), kAbsent}, {1, 12, 15, 33}, dtype),
                   s.node(PatchEmbedOp{}, {photo, weight({10, 3, 4, 4}), s.weight({10})}, {1, 2, 3, 10})};
      check_spec(s, random,
                 "computed weights, kind " + std::to_string(static_cast<int>(kind)) + ", " + dtype_name(dtype),
                 options);
    }
  }
}

cuda::BackendOptions small_parts() {
  cuda::BackendOptions options;
  options.limits.product_elements = 2000;
  options.limits.product_batch = 2;
  options.limits.gathered_bytes = 1000;
  return options;
}

// Work that is cut into parts gives what the whole gives.
void test_limits(Random& random) {
  for (DType dtype : kFloats) {
    GraphSpec s;
    const auto x = s.input({300, 16}, dtype), residual = s.input({300, 24}, dtype);
    s.outputs.push_back(s.node(LinearOp{}, {x, s.weight({24, 16}, dtype), s.weight({24}), residual}, {300, 24}, dtype));
    s.outputs.push_back(s.node(MatmulOp{}, {s.input({5, 6, 8}, dtype), s.input({5, 3, 8}, dtype)}, {5, 6, 3}, dtype));
    s.outputs.push_back(
        s.node(MatmulOp{}, {s.input({2, 200, 16}, dtype), s.input({2, 8, 16}, dtype)}, {2, 200, 8}, dtype));
    const auto picture = s.input({2, 12, 13, 8}, dtype);
    s.outputs.push_back(s.node(Conv2dOp{1, 1, Activation::gelu},
                               {picture, s.weight({9, 8, 3, 3}, dtype), s.weight({9})}, {2, 12, 13, 9}, dtype));
    s.outputs.push_back(s.node(ConvTranspose2dOp{Activation::gelu},
                               {picture, s.weight({8, 5, 2, 2}, dtype), s.weight({5})}, {2, 24, 26, 5}, dtype));
    const auto photo = s.input({2, 3, 52, 44});
    s.outputs.push_back(s.node(PatchEmbedOp{},
                               {photo, s.weight({10, 3, 4, 4}, dtype), s.weight({10}), s.weight({1, 13, 11, 10})},
                               {2, 13, 11, 10}));
    check_spec(s, random, std::string("work in parts, ") + dtype_name(dtype), small_parts());
  }
}

void test_convolutions(Random& random) {
  for (DType dtype : kFloats) {
    for (int64_t channels : {3, 8, 16}) {
      for (int64_t side : {1, 2, 3}) {
        const int64_t stride = random.integer(1, 2), padding = random.integer(0, 2);
        const int64_t h = 6, w = 5, out = channels == 8 ? 16 : 5;
        const int64_t oh = (h + 2 * padding - side) / stride + 1, ow = (w + 2 * padding - side) / stride + 1;
        GraphSpec s;
        const auto x = s.input({2, h, w, channels}, dtype);
        s.outputs.push_back(s.node(Conv2dOp{stride, padding, Activation::relu},
                                   {x, s.weight({out, channels, side, side}, dtype), s.weight({out})}, {2, oh, ow, out},
                                   DType::f32));
        s.outputs.push_back(s.node(Conv2dOp{1, 0, Activation::gelu},
                                   {x, s.weight({out, channels, 1, 1}, dtype), kAbsent}, {2, h, w, out}, dtype));
        s.outputs.push_back(s.node(ConvTranspose2dOp{Activation::gelu},
                                   {x, s.weight({channels, out, side, side}, dtype), s.weight({out})},
                                   {2, h * side, w * side, out}, dtype));
        check_spec(s, random, label("convolutions", {channels, side}, dtype, dtype));
      }
    }
  }
}

// Photographs as bytes: contents of their own, none, and beyond the canvas.
void test_patch_embed_bytes(Random& random) {
  for (DType dtype : kFloats) {
    GraphSpec s;
    const auto pixels = s.input({3, 8, 12, 3}, DType::u8), content = s.input({3, 2}, DType::i32);
    s.outputs = {s.node(PatchEmbedOp{{120, 110.5, 100}, {58, 57.25, 60}},
                        {pixels, s.weight({10, 3, 4, 4}, dtype), s.weight({10}), s.weight({1, 2, 3, 10}), content},
                        {3, 2, 3, 10})};
    check_spec(s, random, std::string("patchEmbed of bytes in ") + dtype_name(dtype));
  }
}

// Heads with a tensor-core kernel and without; windows over the edge, with a pad row that is a weight or computed, and
// without; every metric; B > 1; with log_sum_exp and without.
void test_attention(Random& random) {
  for (DType dtype : kFloats) {
    for (int64_t dim : {16, 24, 32, 64, 80}) {
      const int64_t heads = 2, c = heads * dim, gh = 5, gw = 6;
      for (int64_t window : {0, 4}) {
        for (const bool fused : {true, false}) {
          GraphSpec s;
          const auto tokens = [&] { return s.input({2, gh, gw, c}, dtype); };
          std::vector<uint32_t> inputs = {s.input({2, gh, gw, 3 * c}, dtype), kAbsent, kAbsent};
          if (!fused) inputs = {tokens(), tokens(), tokens()};
          const int64_t side_h = window ? window : gh, side_w = window ? window : gw;
          inputs.insert(inputs.end(), {s.weight({2 * side_h - 1, dim}), s.weight({2 * side_w - 1, dim})});
          AttentionOp op{heads, 0.3, window};
          if (!window) {
            op.metric = static_cast<DistanceMetric>(random.integer(1, 3));
            op.start = 1;
            op.slopes = {0.25, 0.125};
          }
          const int64_t pad = random.integer(0, 2);
          if (pad == 1) inputs.push_back(s.weight({3 * c}, dtype));
          if (pad == 2) inputs.push_back(s.node(CastOp{}, {s.weight({3 * c})}, {3 * c}, dtype));
          s.outputs = {s.node(op, inputs, {2, gh, gw, c}, dtype)};
          if (random.chance(0.5)) s.outputs.push_back(s.optional_output(1, {2, heads, gh * gw}));
          check_spec(s, random,
                     label(fused ? "fused attention" : "attention of a grid", {dim, window, pad}, dtype, dtype));
        }
      }
      for (const bool with_log_sum_exp : {true, false}) {
        GraphSpec s;
        const auto q = s.input({3, 7, c}, dtype), k = s.input({1, 9, c}, dtype), v = s.input({1, 9, c}, dtype);
        s.outputs = {s.node(AttentionOp{heads, 0.3}, {q, k, v}, {3, 7, c}, dtype)};
        if (with_log_sum_exp) s.outputs.push_back(s.optional_output(1, {3, heads, 7}));
        check_spec(s, random, label("attention", {dim}, dtype, dtype));
      }
    }
  }
}

void test_layout_ops(Random& random) {
  for (DType dtype : kFloats) {
    GraphSpec s;
    const auto a = s.input({2, 3, 1, 4, 16}, dtype), b = s.input({2, 1, 5, 4, 16}, dtype),
               c = s.input({1, 3, 5, 1, 1}, dtype);
    const auto sum = s.node(AddOp{}, {a, b}, {2, 3, 5, 4, 16}, dtype);
    s.outputs.push_back(s.node(AddOp{}, {c, sum}, {2, 3, 5, 4, 16}, dtype));
    const auto one = s.input({1, 1, 1}, dtype);
    s.outputs.push_back(s.node(AddOp{}, {one, one}, {1, 1, 1}, dtype));
    const auto x = s.input({2, 40, 7, 70}, dtype);
    const auto first = s.node(TransposeOp{ChannelOrder::channels_first}, {x}, {2, 70, 40, 7}, dtype);
    s.outputs.push_back(s.node(TransposeOp{ChannelOrder::channels_last}, {first}, {2, 40, 7, 70}, dtype));
    const auto tokens = s.input({2, 9, 5}, dtype), shared = s.input({1, 2, 5}, dtype), none = s.input({2, 0, 5}, dtype);
    const auto joined = s.node(ConcatOp{}, {tokens, shared, none, tokens}, {2, 20, 5}, dtype);
    s.outputs.push_back(s.node(SliceOp{3, 11}, {joined}, {2, 11, 5}, dtype));
    s.outputs.push_back(first);
    for (DType to : kFloats) s.outputs.push_back(s.node(CastOp{}, {x}, {2, 40, 7, 70}, to));
    check_spec(s, random, std::string("layout in ") + dtype_name(dtype));
  }
  // Special values survive a cast: infinities, NaN, halves of the last place, numbers beyond f16.
  const std::vector<float> values = {0.0f,        -0.0f,    INFINITY, -INFINITY, NAN,   1.00390625f,
                                     1.01171875f, 65519.0f, 65520.0f, 1e-8f,     -3e38f};
  GraphSpec s;
  const auto x = s.input({static_cast<int64_t>(values.size())});
  for (DType to : kFloats) s.outputs.push_back(s.node(CastOp{}, {x}, {static_cast<int64_t>(values.size())}, to));
  Fixture f(s, random, cuda::make_cuda_backend({}));
  std::memcpy(f.data[x].data(), values.data(), f.data[x].size());
  Plan plan(f.weights, f.graph);
  const auto out = f.run(plan);
  bool right = true;
  for (size_t to = 0; to < 3; ++to) {
    const Array got = loaded(out[to], kFloats[to]);
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = rounded(values[i], kFloats[to]);
      right = right && (std::isnan(values[i]) ? std::isnan(got[i])
                                              : got[i] == expected && std::signbit(got[i]) == std::signbit(expected));
    }
  }
  g_counts.check(right, "casts of special values");
}

// Positions are computed in f64: they are right to the last bit or two of f32.
void test_positions(Random& random) {
  GraphSpec s;
  const auto gaussian = s.input({2, 64});
  std::vector<uint32_t> inputs = {s.input({3, 5, 2}), s.input({3, 5}, DType::i32), gaussian};
  for (int i = 0; i < 5; ++i) inputs.push_back(s.input({1, 128}));
  s.outputs = {s.node(PointEncodingOp{{1024, 683}}, inputs, {3, 5, 128}),
               s.node(GridEncodingOp{}, {gaussian}, {1, 5, 7, 128}),
               s.node(ResizePositionsOp{}, {s.input({1, 6, 7, 12})}, {1, 9, 4, 12}),
               s.node(ResizeRelPosOp{}, {s.input({13, 12}), s.input({1})}, {27, 12})};
  Fixture f(s, random, cuda::make_cuda_backend({}));
  f.fill(gaussian, random, -4, 4);
  f.fill(inputs[0], random, -8, 1100);
  Plan plan(f.weights, f.graph);
  const auto out = f.run(plan);
  for (size_t n = 0; n < f.graph.nodes.size(); ++n) {
    std::vector<Array> values;
    std::vector<const Array*> in;
    for (uint32_t v : f.graph.nodes[n].inputs) values.push_back(loaded(f.data[v], f.graph.values[v].dtype));
    for (const Array& value : values) in.push_back(&value);
    const Array expected = reference(f.graph, f.graph.nodes[n], in)[0], actual = loaded(out[n], DType::f32);
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      worst = std::max(worst, std::abs(actual[i] - expected[i]) / std::max(1.0, std::abs(expected[i])));
    g_counts.check(worst == worst && worst <= 2e-7, "positions " + std::to_string(n) + ": " + std::to_string(worst));
  }
}

// Masks and logits are the CPU's bit for bit.
void test_upsample(Random& random) {
  const int64_t shapes[][8] = {{5, 7, 20, 28, 20, 28, 37, 300},
                               {4, 4, 64, 64, 64, 43, 90, 61},
                               {16, 12, 64, 48, 50, 48, 25, 13},
                               {1, 1, 1, 1, 1, 1, 1, 1},
                               {3, 9, 33, 9, 12, 8, 400, 5}};
  for (const auto& [low_h, low_w, input_h, input_w, content_h, content_w, out_h, out_w] : shapes) {
    GraphSpec s;
    const auto low = s.input({2, 2, low_h, low_w});
    const UpsampleMasksOp op{{input_w, input_h}, {content_w, content_h}};
    s.outputs = {s.node(op, {low}, {2, 2, out_h, out_w}), s.node(op, {low}, {2, 2, out_h, out_w}, DType::u8)};
    Fixture f(s, random, cuda::make_cuda_backend({}));
    auto* logits = reinterpret_cast<float*>(f.data[low].data());
    logits[0] = NAN;
    Plan plan(f.weights, f.graph);
    const auto out = f.run(plan);
    UpsampleParams p;
    p.masks = 4;
    p.low_h = low_h, p.low_w = low_w, p.input_h = input_h, p.input_w = input_w;
    p.content_h = content_h, p.content_w = content_w, p.out_h = out_h, p.out_w = out_w;
    std::vector<float> expected(static_cast<size_t>(4 * out_h * out_w));
    std::vector<uint8_t> masks(expected.size());
    upsample_logits(expected.data(), logits, p, 1, nullptr);
    upsample_masks(masks.data(), nullptr, logits, p, 0.0f, 1, nullptr);
    bool same = masks == out[1];
    for (size_t i = 0; i < expected.size(); ++i) {
      float actual;
      std::memcpy(&actual, &out[0][4 * i], 4);
      same = same && (actual == expected[i] || (std::isnan(actual) && std::isnan(expected[i])));
    }
    g_counts.check(same, "masks of " + std::to_string(out_h) + " × " + std::to_string(out_w) + " as on the CPU");
  }
}

}  // namespace

int main() {
  if (no_device()) return g_counts.finish();
  const auto seed = static_cast<uint64_t>(number_from("BA_SAM_TEST_SEED", 1));
  const auto graphs = static_cast<int>(number_from("BA_SAM_TEST_GRAPHS", 100));
  {
    Random random(seed);
    // Once with the cuBLASLt that there is, once with one that refuses everything.
    for (bool again = cuda::lt::find().library != nullptr;; again = false) {
      if (!again) cuda::lt::replace(&refusing_cublaslt());
      test_computed_bias(random);
      test_computed_weights(random, {});
      test_computed_weights(random, small_parts());
      test_limits(random);
      test_convolutions(random);
      test_patch_embed_bytes(random);
      test_random_graphs(random, 20, graphs);
      if (!again) break;
    }
    test_layer_norm(random);
    test_attention(random);
    test_layout_ops(random);
    test_positions(random);
    test_upsample(random);
  }
  check_emulation(g_counts);
  return g_counts.finish();
}

// attention: what the tests need of it.
#include "../../../test/native/op_cases.h"
#include "../../../test/native/random_graph.h"

namespace ba_sam::test {

namespace {

using O = AttentionOp;

// Where element d of a head of a token lies, whichever form the operands have.
struct Tokens {
  const Array* array;
  int64_t batch, tokens, stride, offset;

  double at(int64_t b, int64_t token, int64_t channel) const {
    return (*array)[((batch == 1 ? 0 : b) * tokens + token) * stride + offset + channel];
  }
};

// Part 0, 1, 2 = q, k, v.
Tokens tokens_of(const NodeValues& n, size_t part) {
  const bool fused = !n.has(O::k);
  const size_t operand = fused ? static_cast<size_t>(O::q) : part;
  const Shape& s = n.in(operand).shape;
  int64_t tokens = 1;
  for (size_t i = 1; i + 1 < s.size(); ++i) tokens *= s[i];
  return {&n[operand], s[0], tokens, s.back(), fused ? static_cast<int64_t>(part) * s.back() / 3 : 0};
}

double distance(DistanceMetric metric, double dy, double dx) {
  if (metric == DistanceMetric::manhattan) return dy + dx;
  return metric == DistanceMetric::euclidean ? std::hypot(dy, dx) : std::max(dy, dx);
}

// q, k and v are one list of tokens; what they attend to is a list, a grid or a window of it.
struct Grid {
  int64_t height, width;   // of the tokens; 1 × N for a list
  int64_t side_h, side_w;  // of what a query attends to
  int64_t window;

  int64_t origin(int64_t position) const { return window ? position / window * window : 0; }
};

}  // namespace

std::vector<Array> reference(const NodeValues& n, const AttentionOp& op) {
  const Tokens q = tokens_of(n, 0), k = tokens_of(n, 1), v = tokens_of(n, 2);
  const int64_t channels = n.out().shape.back(), dim = channels / op.heads, batch = n.out().shape[0];
  const bool grid = n.in(O::q).shape.size() == 4 && q.tokens == k.tokens;
  Grid g{1, k.tokens, 1, k.tokens, op.window};
  if (grid) {
    g.height = g.side_h = n.in(O::q).shape[1];
    g.width = g.side_w = n.in(O::q).shape[2];
  }
  if (op.window) g.side_h = g.side_w = op.window;
  Array y = n.zeros(), log_sum_exp(static_cast<size_t>(batch * op.heads * q.tokens));
  for (int64_t i = 0; i < batch * op.heads * q.tokens; ++i) {
    const int64_t b = i / q.tokens / op.heads, head = i / q.tokens % op.heads * dim, query = i % q.tokens;
    const int64_t yi = query / g.width, xi = query % g.width, y0 = g.origin(yi), x0 = g.origin(xi);
    // Outside of the grid a token is what the projection makes of padding.
    const auto element = [&](const Tokens& t, int64_t part, int64_t yj, int64_t xj, int64_t d) {
      if (yj < g.height && xj < g.width) return t.at(b, yj * g.width + xj, head + d);
      return n.has(O::pad) ? n[O::pad][part * channels + head + d] : 0.0;
    };
    Array weights;
    double largest = -INFINITY, sum = 0;
    for (int64_t yj = y0; yj < y0 + g.side_h; ++yj) {
      for (int64_t xj = x0; xj < x0 + g.side_w; ++xj) {
        double dot = 0, relative = 0;
        for (int64_t d = 0; d < dim; ++d) {
          const double element_q = q.at(b, query, head + d);
          dot += element_q * element(k, 1, yj, xj, d);
          if (n.has(O::rel_pos_h)) {
            relative += element_q * (n[O::rel_pos_h][(yi - yj + g.side_h - 1) * dim + d] +
                                     n[O::rel_pos_w][(xi - xj + g.side_w - 1) * dim + d]);
          }
        }
        double penalty = 0;
        if (op.metric != DistanceMetric::none) {
          const double dy = std::max(0.0, std::abs(static_cast<double>(yi - yj)) - op.start);
          const double dx = std::max(0.0, std::abs(static_cast<double>(xi - xj)) - op.start);
          penalty = op.slopes[head / dim] * distance(op.metric, dy, dx);
        }
        weights.push_back(op.scale * dot + relative - penalty);
        largest = std::max(largest, weights.back());
      }
    }
    for (double& w : weights) sum += w = std::exp(w - largest);
    log_sum_exp[i] = largest + std::log(sum);
    for (int64_t d = 0; d < dim; ++d) {
      double total = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        const auto at = static_cast<int64_t>(j);
        total += weights[j] * element(v, 2, y0 + at / g.side_w, x0 + at % g.side_w, d);
      }
      y[(b * q.tokens + query) * channels + head + d] = total / sum;
    }
  }
  return {y, log_sum_exp};
}

namespace {

GraphSpec fused() {
  GraphSpec s;
  const auto qkv = s.input({2, 3, 5, 24}), rel_h = s.weight({5, 4}), rel_w = s.weight({9, 4}), pad = s.weight({24});
  s.outputs = {s.node(AttentionOp{2, 0.5, 0, DistanceMetric::manhattan, 3, {0.25, 0.5}},
                      {qkv, kAbsent, kAbsent, rel_h, rel_w, pad}, {2, 3, 5, 8})};
  s.outputs.push_back(s.optional_output(O::log_sum_exp, {2, 2, 15}));
  return s;
}

GraphSpec lists() {
  GraphSpec s;
  const auto q = s.input({2, 5, 8}), k = s.input({2, 7, 8}), v = s.input({2, 7, 8});
  s.outputs = {s.node(AttentionOp{2, 0.5}, {q, k, v}, {2, 5, 8})};
  s.outputs.push_back(s.optional_output(O::log_sum_exp, {2, 2, 5}));
  return s;
}

Change of(GraphSpec spec, Change change) {
  return [=](GraphSpec& s) {
    s = spec;
    change(s);
  };
}

}  // namespace

GraphSpec valid_graph(const AttentionOp&) {
  GraphSpec s;
  const Shape grid = {2, 3, 5, 8};
  const auto q = s.input(grid), k = s.input(grid), v = s.input(grid);
  const auto rel_h = s.weight({5, 4}), rel_w = s.weight({9, 4}), pad = s.weight({24});
  s.outputs = {
      s.node(AttentionOp{2, 0.5, 0, DistanceMetric::euclidean, 1, {0.25, 0.5}}, {q, k, v, rel_h, rel_w, pad}, grid)};
  s.outputs.push_back(s.optional_output(O::log_sum_exp, {2, 2, 15}));
  return s;
}

namespace {

// Tokens of a grid, fused or separate, in windows or with a penalty, with and without relative positions.
void append_grid(GraphMaker& g) {
  const int64_t b = g.small(2), gh = g.small(6), gw = g.small(7), heads = g.small(3), dim = g.small(9);
  const int64_t channels = heads * dim;
  const DType type = g.any_dtype();
  AttentionOp op{heads, g.random.uniform(0.1, 1), g.random.chance(0.5) ? g.small(4) : 0};
  const auto tokens = [&](const Shape& shape) {
    const auto fits = [&](const GraphMaker::Item& v) {
      return v.shape == shape && v.dtype == static_cast<uint8_t>(type);
    };
    return g.pick(fits, [&] { return g.fresh(shape, type); });
  };
  std::vector<uint32_t> inputs;
  if (g.random.chance(0.6)) {
    inputs = {tokens({b, gh, gw, 3 * channels}), kAbsent, kAbsent};
  } else {
    for (int i = 0; i < 3; ++i) inputs.push_back(tokens({b, gh, gw, channels}));
  }
  const bool relative = g.random.chance(0.6);
  for (const int64_t side : {op.window ? op.window : gh, op.window ? op.window : gw}) {
    inputs.push_back(relative ? g.fresh({2 * side - 1, dim}, DType::f32) : kAbsent);
  }
  inputs.push_back(g.random.chance(0.7) ? g.weight({3 * channels}, type) : kAbsent);
  if (!op.window) op.metric = static_cast<DistanceMetric>(g.random.integer(0, 3));
  if (op.metric != DistanceMetric::none) {
    op.start = static_cast<double>(g.random.integer(0, 3));
    for (int64_t h = 0; h < heads; ++h) op.slopes.push_back(g.random.integer(0, 8) / 8.0);
  }
  g.spec.node(op, inputs, {b, gh, gw, channels}, type);
  if (g.random.chance(0.4)) g.spec.optional_output(O::log_sum_exp, {b, heads, gh * gw});
}

// Lists of tokens, where a batch of 1 may serve every item of the other side.
void append_lists(GraphMaker& g) {
  const int64_t heads = g.small(3), channels = heads * g.small(9), batch = g.small(3);
  const DType type = g.any_dtype();
  const Shape qs = {g.random.chance(0.3) ? 1 : batch, g.random.chance(0.15) ? 0 : g.small(6), channels};
  const Shape ks = {g.random.chance(0.3) ? 1 : batch, g.small(6), channels};
  const auto q = g.fresh(qs, type), k = g.fresh(ks, type), v = g.random.chance(0.3) ? k : g.fresh(ks, type);
  const int64_t out_batch = std::max(qs[0], ks[0]);
  g.spec.node(AttentionOp{heads, g.random.uniform(0.1, 1)}, {q, k, v}, {out_batch, qs[1], channels}, type);
  if (g.random.chance(0.4)) g.spec.optional_output(O::log_sum_exp, {out_batch, heads, qs[1]});
}

}  // namespace

void append_random(GraphMaker& g, const AttentionOp&) {
  if (g.random.chance(0.6)) {
    append_grid(g);
  } else {
    append_lists(g);
  }
}

std::vector<BrokenCase> broken_cases(const AttentionOp&) {
  const Change one_slope = attribute("slopes", std::vector<double>{0.25});
  return {
      // the fused projection of a grid
      {"q of dtype", of(fused(), dtype(O::q, DType::i32))},
      {"q of rank 4", of(fused(), shape(O::q, {2, 15, 24}))},
      {"q without empty", of(fused(), shape(O::q, {0, 3, 5, 24}))},
      {"2^20 tokens a side",
       of(fused(), both(shape(O::q, {2, (1 << 20) + 1, 5, 24}), out_shape({2, (1 << 20) + 1, 5, 8})))},
      {"3·H·D channels", of(fused(), shape(O::q, {2, 3, 5, 25}))},
      {"for heads", of(fused(), attribute("heads", 0.0))},
      {"for heads", of(fused(), attribute("heads", 4097))},
      {"an integer for heads", of(fused(), attribute("heads", 1.5))},
      {"divisible by heads", of(fused(), attribute("heads", 3))},
      {"head size of at most 256", of(fused(), shape(O::q, {2, 3, 5, 3 * 2 * 257}))},
      {"for window", of(fused(), both(attribute("window", 1025), attribute("metric", "none")))},
      {"for window", of(fused(), both(attribute("window", -1), attribute("metric", "none")))},
      {"one of none, manhattan, euclidean, chebyshev for metric", of(fused(), attribute("metric", "cosine"))},
      {"start of at least 0", of(fused(), attribute("start", -1))},
      {"one slope per head", of(fused(), one_slope)},
      {"one slope per head", of(fused(), attribute("slopes", std::vector<double>{0.25, 0.5, 1}))},
      {"slopes exactly when there is a metric", of(fused(), attribute("metric", "none"))},
      {"slopes exactly when", of(fused(), attribute("slopes", std::vector<double>{}))},
      {"slopes of at least 0", of(fused(), attribute("slopes", std::vector<double>{0.25, -0.5}))},
      {"slopes of at least 0", of(fused(), attribute("slopes", std::vector<double>{0.25, 1e39}))},
      {"a finite scale", of(fused(), attribute("scale", 1e39))},
      {"a finite scale", of(fused(), attribute("scale", -1e31))},
      {"finite attributes", of(fused(), attribute("scale", std::nan("")))},
      {"finite attributes", of(fused(), attribute("slopes", std::vector<double>{0.25, std::nan("")}))},
      {"slopes of at least 0", of(fused(), attribute("slopes", std::vector<double>{0.25, 1e31}))},
      {"start of at least 0", of(fused(), attribute("start", 1e31))},
      {"global attention only", of(fused(), attribute("window", 2))},
      {"both relative position tables", of(fused(), absent(O::rel_pos_h))},
      {"both relative position tables", of(fused(), absent(O::rel_pos_w))},
      {"rel_pos_h of dtype f32", of(fused(), dtype(O::rel_pos_h, DType::bf16))},
      {"rel_pos_w of dtype f32", of(fused(), dtype(O::rel_pos_w, DType::bf16))},
      {"rel_pos_h of shape [5, 4]", of(fused(), shape(O::rel_pos_h, {6, 4}))},
      {"rel_pos_w of shape [9, 4]", of(fused(), shape(O::rel_pos_w, {9, 8}))},
      {"pad of shape [24]", of(fused(), shape(O::pad, {8}))},
      {"pad of dtype f32", of(fused(), dtype(O::pad, DType::bf16))},
      {"output of shape", of(fused(), out_shape({2, 3, 5, 24}))},
      {"output of dtype", of(fused(), out_dtype(DType::bf16))},
      // lists of tokens
      {"q, k and v of dtype", of(lists(), dtype(O::k, DType::i32))},
      {"of one dtype", of(lists(), dtype(O::v, DType::bf16))},
      {"of rank 3 or more", of(lists(), shape(O::q, {2, 8}))},
      {"k and v of one shape", of(lists(), shape(O::v, {2, 6, 8}))},
      {"same batch, or 1", of(lists(), shape(O::q, {3, 5, 8}))},
      {"same channels", of(lists(), shape(O::q, {2, 5, 4}))},
      {"k without empty", of(lists(), both(shape(O::k, {2, 0, 8}), shape(O::v, {2, 0, 8})))},
      {"divisible by heads", of(lists(), attribute("heads", 3))},
      {"output of shape", of(lists(), out_shape({2, 7, 8}))},
      {"output of dtype", of(lists(), out_dtype(DType::bf16))},
      {"q, k and v [B, Gh, Gw, H·D] with windows or biases", of(lists(), attribute("window", 2))},
      {"q, k and v [B, Gh, Gw, H·D] with windows or biases", of(lists(), attribute("metric", "manhattan"))},
      {"output of shape [2, 2, 5]", of(lists(), out_shape({2, 5, 2}, O::log_sum_exp))},
      {"output of dtype f32", of(lists(), out_dtype(DType::bf16, O::log_sum_exp))},
      // q, k and v of a grid
      {"both k and v or neither", absent(O::k)},
      {"both k and v or neither", absent(O::v)},
      {"q, k and v [B, Gh, Gw, H·D] with windows or biases",
       both(shape(O::k, {2, 5, 3, 8}), shape(O::v, {2, 5, 3, 8}))},
      {"q, k and v [B, Gh, Gw, H·D] with windows or biases",
       both(shape(O::q, {1, 3, 5, 8}), both(attribute("metric", "none"), attribute("slopes", std::vector<double>{})))},
      {"output of shape [2, 2, 15]", out_shape({2, 3, 5, 2}, O::log_sum_exp)},
  };
}

}  // namespace ba_sam::test

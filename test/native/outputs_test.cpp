// Nodes with several outputs: any subset of the optional ones, views of them, accumulation onto them, constants that have
// them, and the same on a backend with memory of its own. Prints "N passed, N failed".
#include <cmath>

#include "../../native/backends/cpu/backend.h"
#include "graph_fixture.h"
#include "staging_backend.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

// Against the loops, with one thread and with several, and with memory of its own: the same bits.
void check_spec(const GraphSpec& spec, Random& random, const std::string& name) {
  std::set<Op> seen;
  for (int threads : {1, 3}) {
    const std::string problem = problem_of(spec, random, cpu::make_cpu_backend(threads), &seen);
    g_counts.check(problem.empty(), name + ", " + std::to_string(threads) + " threads: " + problem);
  }
  const auto log = std::make_shared<StagingLog>();
  const Fixture f(spec, random, cpu::make_cpu_backend(1));
  Plan here(f.weights, f.graph), there(f.store(std::make_shared<StagingBackend>(log)), f.graph);
  g_counts.check(f.run(here) == f.run(there) && log->problem.empty(), name + ", staged: " + log->problem);
}

std::string subset_name(bool mean, bool rstd) {
  return std::string(mean ? " mean" : "") + (rstd ? " rstd" : "");
}

// Whatever is asked for besides, every output has the same bits.
void test_statistics(Random& random, DType dtype) {
  std::vector<uint8_t> y, mean, rstd;
  for (const bool ask_rstd : {false, true}) {
    for (const bool ask_mean : {false, true}) {
      GraphSpec s;
      const auto x = s.input({3, 5, 40}, dtype), w = s.weight({40}), b = s.weight({40});
      s.outputs = {s.node(LayerNormOp{1e-6, Activation::relu}, {x, w, b}, {3, 5, 40}, dtype)};
      if (ask_mean) s.outputs.push_back(s.optional_output(LayerNormOp::mean, {3, 5, 1}));
      if (ask_rstd) s.outputs.push_back(s.optional_output(LayerNormOp::rstd, {3, 5, 1}));
      const std::string name = std::string("layerNorm ") + dtype_name(dtype) + subset_name(ask_mean, ask_rstd);
      check_spec(s, random, name);
      Random same(7);
      const Fixture f(s, same, cpu::make_cpu_backend(2));
      Plan plan(f.weights, f.graph);
      const auto out = f.run(plan);
      if (y.empty()) y = out[0];
      if (ask_mean && mean.empty()) mean = out[1];
      if (ask_rstd && rstd.empty()) rstd = out.back();
      g_counts.check(out[0] == y && (!ask_mean || out[1] == mean) && (!ask_rstd || out.back() == rstd),
                     name + ": the same bits whoever asks");
    }
  }
}

// Rows far from zero and rows of one number, whose deviation is 0.
void test_extreme_statistics() {
  GraphSpec s;
  const auto x = s.input({3, 8});
  s.outputs = {s.node(LayerNormOp{1e-6}, {x, s.weight({8}), s.weight({8})}, {3, 8})};
  s.outputs.push_back(s.optional_output(LayerNormOp::mean, {3, 1}));
  s.outputs.push_back(s.optional_output(LayerNormOp::rstd, {3, 1}));
  Random random(3);
  Fixture f(s, random, cpu::make_cpu_backend(1));
  Array rows(24, 5.0);
  for (size_t i = 8; i < 24; ++i) rows[i] = i < 16 ? 4096 + static_cast<double>(i % 2) : 0;
  f.data[x] = stored(rows, DType::f32);
  Plan plan(f.weights, f.graph);
  const auto out = f.run(plan);
  const Array mean = loaded(out[1], DType::f32), rstd = loaded(out[2], DType::f32);
  g_counts.check(mean == Array{5, 4096.5, 0}, "means of constant rows and of a row far from zero");
  const double expected[] = {1000, 1 / std::sqrt(0.25 + 1e-6), 1000};
  for (size_t i = 0; i < 3; ++i) {
    g_counts.check(std::abs(rstd[i] - expected[i]) <= 1e-6 * expected[i], "rstd of row " + std::to_string(i));
  }
}

// Windows with tokens outside of the grid, grids with a penalty, lists that share a batch.
void test_log_sum_exp(Random& random, DType dtype) {
  const auto asked = [&](const std::string& name, const std::function<void(GraphSpec&)>& attention, Shape shape) {
    std::vector<uint8_t> y;
    for (const bool ask : {false, true}) {
      GraphSpec s;
      attention(s);
      s.outputs = {s.nodes.back().outputs[0]};
      if (ask) s.outputs.push_back(s.optional_output(AttentionOp::log_sum_exp, shape));
      check_spec(s, random, name + " " + dtype_name(dtype) + (ask ? " with log-sum-exp" : ""));
      Random same(11);
      const Fixture f(s, same, cpu::make_cpu_backend(2));
      Plan plan(f.weights, f.graph);
      const auto out = f.run(plan);
      if (ask) g_counts.check(out[0] == y, name + ": the same bits whether somebody asks for the log-sum-exp or not");
      y = out[0];
    }
  };
  asked("windows",
        [&](GraphSpec& s) {
          const auto qkv = s.input({2, 5, 7, 48}, dtype), pad = s.weight({48}, dtype);
          const auto rel_h = s.weight({5, 8}), rel_w = s.weight({5, 8});
          s.node(AttentionOp{2, 0.35, 3}, {qkv, kAbsent, kAbsent, rel_h, rel_w, pad}, {2, 5, 7, 16}, dtype);
        },
        {2, 2, 35});
  asked("a grid",
        [&](GraphSpec& s) {
          const Shape grid = {2, 5, 7, 16};
          const auto q = s.input(grid, dtype), k = s.input(grid, dtype), v = s.input(grid, dtype);
          s.node(AttentionOp{2, 0.35, 0, DistanceMetric::euclidean, 1, {0.5, 0.125}}, {q, k, v}, grid, dtype);
        },
        {2, 2, 35});
  asked("lists",
        [&](GraphSpec& s) {
          const auto q = s.input({1, 6, 16}, dtype), k = s.input({3, 19, 16}, dtype), v = s.input({3, 19, 16}, dtype);
          s.node(AttentionOp{4, 0.5}, {q, k, v}, {3, 6, 16}, dtype);
        },
        {3, 4, 6});
  asked("no queries",
        [&](GraphSpec& s) {
          const auto q = s.input({1, 0, 16}, dtype), k = s.input({1, 19, 16}, dtype);
          s.node(AttentionOp{4, 0.5}, {q, k, k}, {1, 0, 16}, dtype);
        },
        {1, 4, 0});
}

// An optional output read under another shape, by other nodes and as output of the graph.
void test_views(Random& random) {
  GraphSpec s;
  const auto x = s.input({4, 6, 8}), w = s.weight({8}), b = s.weight({8});
  const auto y = s.node(LayerNormOp{1e-5}, {x, w, b}, {4, 6, 8});
  const auto rstd = s.optional_output(LayerNormOp::rstd, {4, 6, 1});
  const auto view = s.node(ReshapeOp{}, {rstd}, {4, 6});
  const auto again = s.node(ReshapeOp{}, {view}, {2, 12});
  const auto sum = s.node(AddOp{}, {view, view}, {4, 6});
  const auto grid = s.node(ReshapeOp{}, {y}, {1, 4, 6, 8});
  const auto attended = s.node(AttentionOp{2, 0.5}, {grid, grid, grid}, {1, 4, 6, 8});
  const auto log_sum_exp = s.optional_output(AttentionOp::log_sum_exp, {1, 2, 24});
  const auto heads = s.node(ReshapeOp{}, {log_sum_exp}, {2, 24});
  const auto twice = s.node(AddOp{}, {heads, heads}, {2, 24});
  s.outputs = {again, sum, heads, twice, attended};
  check_spec(s, random, "views of optional outputs");
}

// y + x onto mean and rstd, where they lie, and not where somebody still needs them.
void test_in_place(Random& random) {
  for (const bool needed : {false, true}) {
    GraphSpec s;
    const auto x = s.input({6, 5, 8}), w = s.weight({8}), b = s.weight({8});
    const auto y = s.node(LayerNormOp{1e-5}, {x, w, b}, {6, 5, 8});
    const auto mean = s.optional_output(LayerNormOp::mean, {6, 5, 1});
    const auto rstd = s.optional_output(LayerNormOp::rstd, {6, 5, 1});
    const auto view = s.node(ReshapeOp{}, {rstd}, {30, 1});
    const auto flat = s.node(ReshapeOp{}, {y}, {30, 8});
    const auto onto_view = s.node(LinearOp{}, {flat, s.weight({1, 8}), kAbsent, view}, {30, 1});
    const auto onto_mean = s.node(LinearOp{}, {y, s.weight({1, 8}), kAbsent, mean}, {6, 5, 1});
    s.outputs = {onto_view, onto_mean};
    if (needed) s.outputs.insert(s.outputs.end(), {mean, rstd});
    const Graph graph = decode(s);
    std::vector<size_t> scratch_offsets;
    const MemoryLayout layout = plan_memory(graph, std::vector<size_t>(graph.nodes.size(), 0), false, &scratch_offsets);
    const std::string name = needed ? "outputs that somebody needs" : "outputs that nobody needs";
    g_counts.check(layout.in_place[3] == !needed && layout.in_place[4] == !needed,
                   name + (needed ? " are not accumulated onto" : " are accumulated onto"));
    g_counts.check(layout.allocation_of[mean] != layout.allocation_of[rstd] &&
                       layout.allocation_of[mean] != layout.allocation_of[y],
                   name + ": each has its own memory");
    check_spec(s, random, name);
  }
}

// Nobody reads them, but the kernel writes them.
void test_unread(Random& random) {
  GraphSpec s;
  const auto x = s.input({6, 8}), w = s.weight({8}), b = s.weight({8});
  const auto y = s.node(LayerNormOp{1e-5}, {x, w, b}, {6, 8});
  s.optional_output(LayerNormOp::rstd, {6, 1});
  const auto z = s.node(LayerNormOp{1e-5}, {y, w, b}, {6, 8});
  s.optional_output(LayerNormOp::mean, {6, 1});
  s.outputs = {s.node(AddOp{}, {y, z}, {6, 8})};
  check_spec(s, random, "outputs that nobody reads");
}

// A node of weights alone is folded with all of its outputs.
void test_constants(Random& random) {
  GraphSpec s;
  const auto table = s.weight({6, 8}), w = s.weight({8}), b = s.weight({8}), x = s.input({6, 8});
  const auto y = s.node(LayerNormOp{1e-5}, {table, w, b}, {6, 8});
  const auto mean = s.optional_output(LayerNormOp::mean, {6, 1});
  const auto rstd = s.optional_output(LayerNormOp::rstd, {6, 1});
  const auto sum = s.node(AddOp{}, {x, rstd}, {6, 8});
  s.outputs = {sum, mean, y, s.node(AddOp{}, {mean, rstd}, {6, 1})};
  const Graph graph = decode(s);
  std::vector<size_t> scratch_offsets;
  const MemoryLayout layout = plan_memory(graph, std::vector<size_t>(graph.nodes.size(), 0), false, &scratch_offsets);
  g_counts.check(layout.constant[y] && layout.constant[mean] && layout.constant[rstd] && !layout.constant[sum],
                 "every output of a folded node is a constant");
  g_counts.check(layout.allocation_of[mean] < 0 && layout.allocation_of[rstd] < 0, "and has no place in the arena");
  check_spec(s, random, "constants with several outputs");
}

}  // namespace

int main() {
  Random random(1);
  std::vector<DType> dtypes = {DType::f32};
  if (cpu::unavailable_reason(DType::bf16).empty()) dtypes.push_back(DType::bf16);
  for (DType dtype : dtypes) {
    test_statistics(random, dtype);
    test_log_sum_exp(random, dtype);
  }
  test_extreme_statistics();
  test_views(random);
  test_in_place(random);
  test_unread(random);
  test_constants(random);
  return g_counts.finish();
}

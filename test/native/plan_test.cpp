// Memory layouts of random graphs, and plans of random graphs of every op against float64 loops (reference.h).
// Prints "N passed, N failed". BA_SAM_TEST_SEED and BA_SAM_TEST_GRAPHS change what is drawn.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>

#include "../../native/backends/cpu/backend.h"
#include "f8_graphs.h"
#include "graph_fixture.h"
#include "random_graph.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

// ---- plan_memory ----

constexpr int kNever = -2;

struct Life {
  int first = kNever, last = kNever;  // nodes; −1: before node 0
  bool in_arena() const { return first != kNever; }
};

// When each root is written and read, found without looking at the layout.
std::vector<Life> lives(const Graph& g, const std::vector<bool>& constant, bool stage_inputs) {
  std::vector<Life> life(g.values.size());
  const int nodes = static_cast<int>(g.nodes.size());
  for (int n = 0; n < nodes; ++n) {
    for (uint32_t v : g.nodes[n].outputs) {
      if (v != kAbsent && !g.nodes[n].info().is_view && !constant[v]) life[v] = {n, n};
    }
  }
  auto read = [&](uint32_t v, int n) {
    if (v != kAbsent) life[view_root(g, v)].last = std::max(life[view_root(g, v)].last, n);
  };
  for (int n = 0; n < nodes; ++n) {
    for (uint32_t v : g.nodes[n].inputs) read(v, n);
  }
  for (uint32_t v : g.outputs) read(v, nodes);
  for (uint32_t v : g.inputs) {
    if (stage_inputs && life[v].last != kNever) life[v].first = -1;
  }
  return life;
}

std::string check_layout(const Graph& g, const std::vector<size_t>& scratch, bool stage_inputs, int* in_place) {
  std::vector<size_t> scratch_offsets;
  const MemoryLayout layout = plan_memory(g, scratch, stage_inputs, &scratch_offsets);
  std::vector<bool> constant(g.values.size());
  for (size_t v = 0; v < g.values.size(); ++v) constant[v] = g.values[v].kind == ValueKind::weight;
  for (const Node& n : g.nodes) {
    bool all = true;
    for (uint32_t v : n.inputs) all = all && (v == kAbsent || constant[v]);
    for (uint32_t v : n.outputs) {
      if (v != kAbsent) constant[v] = all;
    }
  }
  if (layout.constant != constant) return "constants";
  const std::vector<Life> life = lives(g, constant, stage_inputs);

  size_t sum = 0;
  for (size_t v = 0; v < g.values.size(); ++v) {
    const bool in_arena = life[view_root(g, static_cast<uint32_t>(v))].in_arena();
    if ((layout.allocation_of[v] >= 0) != in_arena) return "value " + std::to_string(v) + " in the arena or not";
    if (!in_arena) continue;
    const auto& allocation = layout.allocations[layout.allocation_of[v]];
    if (allocation.offset % kAlignment) return "alignment";
    if (allocation.bytes < g.values[v].bytes() || allocation.offset + allocation.bytes > layout.arena_bytes)
      return "an allocation too small";
    if (life[v].in_arena()) sum += align_up(g.values[v].bytes());
  }
  for (size_t bytes : scratch) sum += align_up(bytes);
  if (layout.arena_bytes > sum) return "the arena is larger than the sum";

  auto overlap = [&](uint32_t a, size_t offset, size_t bytes) {
    const size_t start = layout.allocations[layout.allocation_of[a]].offset, end = start + g.values[a].bytes();
    return bytes > 0 && end > start && start < offset + bytes && offset < end;
  };
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    const int accumulated = node.accumulated_input();
    if (accumulated >= 0 && life[node.outputs[0]].in_arena()) {
      const uint32_t residual = view_root(g, node.inputs[accumulated]);
      bool legal = life[residual].in_arena() && life[residual].last == static_cast<int>(n);
      for (int i = 0; i < static_cast<int>(node.inputs.size()); ++i) {
        legal = legal && !(i != accumulated && node.has_input(i) && view_root(g, node.inputs[i]) == residual);
      }
      if (layout.in_place[n] != legal)
        return legal ? "a residual nobody needs is copied" : "in place over a live value";
      if (legal && layout.allocation_of[node.outputs[0]] != layout.allocation_of[residual]) return "in place elsewhere";
      *in_place += legal;
    } else if (layout.in_place[n]) {
      return "in place without a residual";
    }
    for (uint32_t v = 0; v < g.values.size(); ++v) {
      const bool alive =
          life[v].in_arena() && life[v].first <= static_cast<int>(n) && life[v].last >= static_cast<int>(n);
      if (alive && overlap(v, scratch_offsets[n], scratch[n])) return "scratch overlaps value " + std::to_string(v);
    }
  }
  for (uint32_t a = 0; a < g.values.size(); ++a) {
    for (uint32_t b = a + 1; b < g.values.size(); ++b) {
      if (!life[a].in_arena() || !life[b].in_arena()) continue;
      if (life[a].last < life[b].first || life[b].last < life[a].first) continue;
      const auto& allocation = layout.allocations[layout.allocation_of[b]];
      if (!overlap(a, allocation.offset, g.values[b].bytes())) continue;
      const uint32_t early = life[a].first < life[b].first ? a : b, late = early == a ? b : a;
      const int n = life[late].first;
      const bool taken_over = n >= 0 && layout.in_place[n] && late == g.nodes[n].outputs[0] &&
                              view_root(g, g.nodes[n].inputs[g.nodes[n].accumulated_input()]) == early &&
                              life[early].last == n;
      if (!taken_over) return "values " + std::to_string(a) + " and " + std::to_string(b) + " overlap";
    }
  }
  return "";
}

void test_layouts(Random& random, int count) {
  int in_place = 0;
  for (int i = 0; i < count; ++i) {
    const Graph g = decode(GraphMaker(random, {DType::bf16, DType::f16}).make(static_cast<int>(random.integer(1, 40))));
    std::vector<size_t> scratch(g.nodes.size());
    for (size_t& bytes : scratch) bytes = random.chance(0.5) ? 0 : static_cast<size_t>(random.integer(1, 5000));
    for (const bool stage_inputs : {false, true}) {
      const std::string problem = check_layout(g, scratch, stage_inputs, &in_place);
      g_counts.check(problem.empty(), "layout " + std::to_string(i) + (stage_inputs ? ", staged: " : ": ") + problem);
    }
  }
  g_counts.check(in_place > count / 20, "residuals are accumulated in place: " + std::to_string(in_place));
}

// ---- runs ----

void test_run(const GraphSpec& spec, Random& random, int threads, std::set<Op>* seen, const std::string& name) {
  const std::string problem = problem_of(spec, random, cpu::make_cpu_backend(threads), seen);
  g_counts.check(problem.empty(), name + ": " + problem);
}

// ---- behaviour ----

GraphSpec two_layers() {
  GraphSpec s;
  const auto x = s.input({2, 3, 8});
  const auto hidden = s.node(LinearOp{Activation::gelu}, {x, s.weight({16, 8}), s.weight({16})}, {2, 3, 16});
  s.outputs = {s.node(LinearOp{}, {hidden, s.weight({8, 16}), s.weight({8}), x}, {2, 3, 8})};
  return s;
}

void test_cancel(Random& random) {
  const Fixture f(two_layers(), random, cpu::make_cpu_backend(1));
  Plan plan(f.weights, f.graph);
  std::atomic<bool> cancel{true};
  g_counts.check(!error_of([&] { f.run(plan, {}, &cancel); }, "ERR_ABORTED").empty(), "cancelled before the first run");
  cancel = false;
  const auto expected = f.run(plan, {}, &cancel);
  std::vector<double> fractions;
  f.run(
      plan, [&](double fraction) { fractions.push_back(fraction); }, &cancel);
  g_counts.check(fractions.size() == 2 && fractions[0] < fractions[1] && std::abs(fractions[1] - 1) < 1e-9,
                 "progress rises to 1");
  const auto message = error_of(
      [&] {
        f.run(
            plan, [&](double) { cancel = true; }, &cancel);
      },
      "ERR_ABORTED");
  g_counts.check(message.find("aborted") != std::string::npos, "cancelled between nodes: " + message);
  cancel = false;
  g_counts.check(f.run(plan, {}, &cancel) == expected, "the same result after an aborted run");
}

void test_errors(Random& random) {
  const auto backend = cpu::make_cpu_backend(1);
  const Fixture f(two_layers(), random, backend);
  auto make = [&](const std::function<void(GraphSpec&)>& change) {
    GraphSpec spec = two_layers();
    change(spec);
    return error_of([&] { Plan plan(f.weights, decode(spec)); });
  };
  g_counts.check(make([](GraphSpec& s) { s.values[1].name = "none"; }).find("Expected a weight named none") == 0,
                 "a missing weight");
  g_counts.check(
      make([](GraphSpec& s) { s.values[2].name = s.values[5].name; }).find("but it is f32 [8]") != std::string::npos,
      "a weight of another shape");
  g_counts.check(error_of(
                     [&] {
                       const auto& v = f.graph.values[1];
                       f.weights->set(v.name, v.dtype, v.dtype, v.shape, f.data[1].data(), f.data[1].size());
                     },
                     "ERR_INVALID_ARGUMENT")
                         .find("every weight once") != std::string::npos,
                 "a weight given twice");
}

// Valid as a graph, but for other devices.
// One weight as the operand of every product, under several shapes: a packed form serves those that it was made for only.
void test_shared_weight(Random& random, DType dtype) {
  GraphSpec s;
  const auto tokens = s.input({2, 5, 48}, dtype), grid = s.input({1, 4, 6, 16}, dtype);
  const auto wide = s.input({1, 4, 6, 192}, dtype), photo = s.input({1, 3, 8, 12});
  const auto w = s.weight({16, 48}, dtype);
  const auto as = [&](Shape shape) { return s.node(ReshapeOp{}, {w}, std::move(shape), dtype); };
  for (const bool f8 : {false, true}) {
    s.outputs.push_back(s.node(LinearOp{Activation::none, f8}, {tokens, w}, {2, 5, 16}, dtype));
    s.outputs.push_back(s.node(LinearOp{Activation::none, f8}, {grid, as({48, 16})}, {1, 4, 6, 48}, dtype));
  }
  s.outputs.push_back(s.node(ConvTranspose2dOp{}, {grid, as({16, 12, 2, 2})}, {1, 8, 12, 12}, dtype));
  s.outputs.push_back(s.node(ConvTranspose2dOp{}, {grid, as({16, 3, 4, 4})}, {1, 16, 24, 3}, dtype));
  s.outputs.push_back(s.node(ConvTranspose2dOp{}, {grid, as({16, 48, 1, 1})}, {1, 4, 6, 48}, dtype));
  s.outputs.push_back(s.node(Conv2dOp{1, 1}, {grid, as({12, 16, 2, 2})}, {1, 5, 7, 12}, dtype));
  s.outputs.push_back(s.node(Conv2dOp{}, {grid, as({48, 16, 1, 1})}, {1, 4, 6, 48}, dtype));
  s.outputs.push_back(s.node(DepthwiseConv2dOp{1, 1}, {wide, as({192, 1, 2, 2})}, {1, 5, 7, 192}, dtype));
  s.outputs.push_back(s.node(DepthwiseConv2dOp{1, 3}, {grid, as({16, 1, 6, 8})}, {1, 5, 5, 16}, dtype));
  s.outputs.push_back(s.node(PatchEmbedOp{}, {photo, as({16, 3, 4, 4})}, {1, 2, 3, 16}));
  s.outputs.push_back(s.node(AddOp{}, {w, s.input({16, 48}, dtype)}, {16, 48}, dtype));
  std::set<Op> seen;
  test_run(s, random, 2, &seen, std::string("one weight under several shapes, ") + dtype_name(dtype));
}

// Matrices of one row, whose order of memory is no difference to oneDNN: taps permuted and not.
void test_shared_row(Random& random) {
  for (const bool linear_first : {false, true}) {
    GraphSpec s;
    const auto x = s.input({1, 2, 3, 1}), w = s.weight({16, 1});
    const auto taps = s.node(ReshapeOp{}, {w}, {1, 4, 2, 2});
    const auto linear = [&] { s.outputs.push_back(s.node(LinearOp{}, {x, w}, {1, 2, 3, 16})); };
    if (linear_first) linear();
    s.outputs.push_back(s.node(ConvTranspose2dOp{}, {x, taps}, {1, 4, 6, 4}));
    if (!linear_first) linear();
    std::set<Op> seen;
    test_run(s, random, 1, &seen, "a weight as one row and as taps");
  }
}

void test_f16() {
  GraphSpec s;
  s.outputs = {s.node(CastOp{}, {s.input({2, 3})}, {2, 3}, DType::f16)};
  Plan plan(std::make_shared<WeightStore>(cpu::make_cpu_backend(1)), decode(s));
  const std::atomic<bool> cancel{false};
  const auto message = error_of([&] { plan.run({nullptr}, {nullptr}, cancel, {}, nullptr); }, "ERR_DEVICE_UNAVAILABLE");
  g_counts.check(message.find("received f16; f16 needs a CUDA device") != std::string::npos, "f16: " + message);
}

// A graph may ask for more memory than there is; only a kernel that overcommits without limit would grant it.
void test_out_of_memory() {
  std::ifstream policy("/proc/sys/vm/overcommit_memory");
  if (policy.get() == '1') return;
  GraphSpec s;
  const auto x = s.input({int64_t{1} << 20, int64_t{1} << 20});
  s.outputs = {s.node(AddOp{}, {x, x}, {int64_t{1} << 20, int64_t{1} << 20})};
  Plan plan(std::make_shared<WeightStore>(cpu::make_cpu_backend(1)), decode(s));
  const std::atomic<bool> cancel{false};
  const auto message = error_of([&] { plan.run({nullptr}, {nullptr}, cancel, {}, nullptr); }, "ERR_OUT_OF_MEMORY");
  g_counts.check(message.find("the arena of a plan") != std::string::npos, "4 TiB: " + message);
}

// Nothing to compute must take no time, however many rows of nothing there are.
void test_rows_of_nothing() {
  constexpr int64_t kMany = int64_t{1} << 39;
  GraphSpec s;
  const auto x = s.input({kMany, 1, 0});
  const auto sum = s.node(AddOp{}, {x, x}, {kMany, 1, 0});
  const auto turned = s.node(TransposeOp{ChannelOrder::channels_last}, {sum}, {kMany, 0, 1});
  const auto sliced = s.node(SliceOp{0, 1}, {x}, {kMany, 1, 0});
  s.outputs = {s.node(ConcatOp{}, {sliced, sum}, {kMany, 2, 0}), turned,
               s.node(GridEncodingOp{}, {s.input({2, 0})}, {1, int64_t{1} << 20, int64_t{1} << 20, 0})};
  Plan plan(std::make_shared<WeightStore>(cpu::make_cpu_backend(1)), decode(s));
  const std::atomic<bool> cancel{false};
  const auto message = error_of([&] {
    plan.run({nullptr, nullptr}, {nullptr, nullptr, nullptr}, cancel, {}, nullptr);
  });
  g_counts.check(message.empty(), "2^39 empty rows: " + message);
}

// A number that is none stays none, through products, norms and activations.
void test_nan(Random& random, DType dtype) {
  for (const Activation activation : {Activation::none, Activation::gelu}) {
    GraphSpec s;
    const auto x = s.input({1, 2, 3, 16}, dtype);
    s.outputs = {s.node(LinearOp{activation}, {x, s.weight({16, 16}, dtype), s.weight({16})}, {1, 2, 3, 16}, dtype),
                 s.node(LinearOp{activation, true}, {x, s.weight({16, 16}, dtype)}, {1, 2, 3, 16}, dtype),
                 s.node(LinearOp{activation}, {x, s.parameter({16, 16}, dtype)}, {1, 2, 3, 16}, dtype),
                 s.node(LayerNormOp{1e-6, activation}, {x, s.weight({16}), s.weight({16})}, {1, 2, 3, 16}, dtype),
                 s.node(Conv2dOp{1, 0, activation}, {x, s.weight({8, 16, 1, 1}, dtype)}, {1, 2, 3, 8}, dtype),
                 s.node(ConvTranspose2dOp{activation}, {x, s.weight({16, 8, 2, 2}, dtype)}, {1, 4, 6, 8}, dtype)};
    Fixture f(s, random, cpu::make_cpu_backend(1));
    f.data[x] = stored(Array(96, NAN), dtype);
    Plan plan(f.weights, f.graph);
    const auto out = f.run(plan);
    for (size_t i = 0; i < out.size(); ++i) {
      const Array numbers = loaded(out[i], dtype);
      const bool none = std::all_of(numbers.begin(), numbers.end(), [](double v) { return std::isnan(v); });
      g_counts.check(none, "NaN through output " + std::to_string(i) + ", activation " +
                               EnumNames<Activation>::values[static_cast<int>(activation)] + ", " + dtype_name(dtype));
    }
  }
}

void test_f8(Random& random, std::vector<DType> dtypes) {
  dtypes.push_back(DType::f32);
  const auto backend = cpu::make_cpu_backend(2);
  for (const F8Case& c : f8_cases(dtypes, 1029)) {  // two parts, the second of 5 rows
    const std::string problem = f8_problem_of(c, random, backend);
    g_counts.check(problem.empty(), c.name + ": " + problem);
  }
  for (DType dtype : dtypes) {
    std::string problem = f8_nonfinite_problem(random, backend, dtype);
    g_counts.check(problem.empty(), std::string("f8, not finite, ") + dtype_name(dtype) + ": " + problem);
    problem = f8_rounding_problem(random, backend, dtype);
    g_counts.check(problem.empty(), std::string("f8, rounding, ") + dtype_name(dtype) + ": " + problem);
    problem = f8_shared_weight_problem(random, backend, dtype);
    g_counts.check(problem.empty(), std::string("f8, a shared weight, ") + dtype_name(dtype) + ": " + problem);
  }
}

int64_t number_from(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoll(text) : otherwise;
}

}  // namespace

int main() {
  const auto seed = static_cast<uint64_t>(number_from("BA_SAM_TEST_SEED", 1));
  const auto graphs = static_cast<int>(number_from("BA_SAM_TEST_GRAPHS", 300));
  std::vector<DType> halves;
  if (cpu::unavailable_reason(DType::bf16).empty())
    halves = {DType::bf16};
  else
    std::printf("bf16: not on this processor, skipped\n");
  Random random(seed);
  test_layouts(random, graphs);
  std::set<Op> seen;
  for (uint8_t op = 0; op < kOpCount; ++op) {
    for (int i = 0; i < 40; ++i) {
      GraphMaker maker(random, halves);
      maker.step(static_cast<Op>(op));
      const auto& last = maker.spec.nodes.back();
      if (maker.rooted_in_weight(last.outputs[0])) continue;
      for (uint32_t v : last.outputs) {
        if (v != kAbsent) maker.spec.outputs.push_back(v);
      }
      test_run(maker.spec, random, 1 + i % 2, &seen,
               std::string(op_info(static_cast<Op>(op)).name) + " " + std::to_string(i));
    }
  }
  for (int i = 0; i < graphs; ++i) {
    const GraphSpec spec = GraphMaker(random, halves).make(static_cast<int>(random.integer(2, 25)));
    test_run(spec, random, 1 + i % 2, &seen, "graph " + std::to_string(i));
  }
  g_counts.check(seen.size() == kOpCount, "every op was run");
  test_cancel(random);
  test_errors(random);
  test_shared_weight(random, DType::f32);
  for (DType dtype : halves) test_shared_weight(random, dtype);
  test_shared_row(random);
  test_f16();
  test_out_of_memory();
  test_rows_of_nothing();
  test_nan(random, DType::f32);
  for (DType dtype : halves) test_nan(random, dtype);
  test_f8(random, halves);
  return g_counts.finish();
}

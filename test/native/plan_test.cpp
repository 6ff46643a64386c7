// Memory layouts of random graphs, and plans of random graphs of every op against float64 loops (reference.h).
// Prints "N passed, N failed". BA_SAM_TEST_SEED and BA_SAM_TEST_GRAPHS change what is drawn.
#include "../../native/core/plan.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>

#include "../../native/cpu/backend.h"
#include "random_graph.h"
#include "reference.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

Graph decode(const GraphSpec& spec) {
  const auto bytes = spec.encode();
  return decode_graph(bytes.data(), bytes.size());
}

// ---- plan_memory ----

struct Life {
  int first = -1, last = -1;  // nodes; first −1: not in the arena
};

// When each root is written and read, found without looking at the layout.
std::vector<Life> lives(const Graph& g, const std::vector<bool>& constant) {
  std::vector<Life> life(g.values.size());
  const int nodes = static_cast<int>(g.nodes.size());
  for (int n = 0; n < nodes; ++n) {
    const uint32_t v = g.nodes[n].output;
    if (g.nodes[n].op != Op::reshape && !constant[v]) life[v] = {n, n};
  }
  auto read = [&](uint32_t v, int n) {
    if (v != kAbsent) life[view_root(g, v)].last = std::max(life[view_root(g, v)].last, n);
  };
  for (int n = 0; n < nodes; ++n) {
    for (uint32_t v : g.nodes[n].inputs) read(v, n);
  }
  for (uint32_t v : g.outputs) read(v, nodes);
  return life;
}

std::string check_layout(const Graph& g, const std::vector<size_t>& scratch, int* in_place) {
  std::vector<size_t> scratch_offsets;
  const MemoryLayout layout = plan_memory(g, scratch, &scratch_offsets);
  std::vector<bool> constant(g.values.size());
  for (size_t v = 0; v < g.values.size(); ++v) constant[v] = g.values[v].kind == ValueKind::weight;
  for (const Node& n : g.nodes) {
    bool all = true;
    for (uint32_t v : n.inputs) all = all && (v == kAbsent || constant[v]);
    constant[n.output] = all;
  }
  if (layout.constant != constant) return "constants";
  const std::vector<Life> life = lives(g, constant);

  size_t sum = 0;
  for (size_t v = 0; v < g.values.size(); ++v) {
    const bool in_arena = life[view_root(g, static_cast<uint32_t>(v))].first >= 0;
    if ((layout.place_of[v] >= 0) != in_arena) return "value " + std::to_string(v) + " in the arena or not";
    if (!in_arena) continue;
    const auto& place = layout.places[layout.place_of[v]];
    if (place.offset % kAlignment) return "alignment";
    if (place.bytes < g.values[v].bytes() || place.offset + place.bytes > layout.arena_bytes)
      return "a place too small";
    if (life[v].first >= 0) sum += align_up(g.values[v].bytes());
  }
  for (size_t bytes : scratch) sum += align_up(bytes);
  if (layout.arena_bytes > sum) return "the arena is larger than the sum";

  auto overlap = [&](uint32_t a, size_t offset, size_t bytes) {
    const size_t start = layout.places[layout.place_of[a]].offset, end = start + g.values[a].bytes();
    return bytes > 0 && end > start && start < offset + bytes && offset < end;
  };
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    if (node.op == Op::linear && node.has_input(3) && life[node.output].first >= 0) {
      const uint32_t residual = view_root(g, node.inputs[3]);
      bool legal = life[residual].first >= 0 && life[residual].last == static_cast<int>(n);
      for (size_t i = 0; i < 3; ++i) legal = legal && !(node.has_input(i) && view_root(g, node.inputs[i]) == residual);
      if (layout.in_place[n] != legal)
        return legal ? "a residual nobody needs is copied" : "in place over a live value";
      if (legal && layout.place_of[node.output] != layout.place_of[residual]) return "in place elsewhere";
      *in_place += legal;
    } else if (layout.in_place[n]) {
      return "in place without a residual";
    }
    for (uint32_t v = 0; v < g.values.size(); ++v) {
      const bool alive =
          life[v].first >= 0 && life[v].first <= static_cast<int>(n) && life[v].last >= static_cast<int>(n);
      if (alive && overlap(v, scratch_offsets[n], scratch[n])) return "scratch overlaps value " + std::to_string(v);
    }
  }
  for (uint32_t a = 0; a < g.values.size(); ++a) {
    for (uint32_t b = a + 1; b < g.values.size(); ++b) {
      if (life[a].first < 0 || life[b].first < 0) continue;
      if (life[a].last < life[b].first || life[b].last < life[a].first) continue;
      const auto& place = layout.places[layout.place_of[b]];
      if (!overlap(a, place.offset, g.values[b].bytes())) continue;
      const uint32_t early = life[a].first < life[b].first ? a : b, late = early == a ? b : a;
      const int n = life[late].first;
      const bool taken_over =
          layout.in_place[n] && view_root(g, g.nodes[n].inputs[3]) == early && life[early].last == n;
      if (!taken_over) return "values " + std::to_string(a) + " and " + std::to_string(b) + " overlap";
    }
  }
  return "";
}

void test_layouts(Random& random, int count) {
  int in_place = 0;
  for (int i = 0; i < count; ++i) {
    const Graph g = decode(GraphMaker(random, true).make(static_cast<int>(random.integer(1, 40))));
    std::vector<size_t> scratch(g.nodes.size());
    for (size_t& bytes : scratch) bytes = random.chance(0.5) ? 0 : static_cast<size_t>(random.integer(1, 5000));
    const std::string problem = check_layout(g, scratch, &in_place);
    g_counts.check(problem.empty(), "layout " + std::to_string(i) + ": " + problem);
  }
  g_counts.check(in_place > count / 20, "residuals are accumulated in place: " + std::to_string(in_place));
}

// ---- runs ----

// Elements in their dtype's bytes.
std::vector<uint8_t> stored(const Array& array, DType dtype) {
  std::vector<uint8_t> bytes(array.size() * dtype_bytes(dtype));
  for (size_t i = 0; i < array.size(); ++i) {
    const auto f = static_cast<float>(array[i]);
    const auto whole = static_cast<int32_t>(array[i]);
    const uint16_t half = f32_to_bf16(f);
    const auto byte = static_cast<uint8_t>(whole);
    const void* from = dtype == DType::f32   ? static_cast<const void*>(&f)
                       : dtype == DType::i32 ? static_cast<const void*>(&whole)
                       : dtype == DType::u8  ? static_cast<const void*>(&byte)
                                             : &half;
    std::memcpy(&bytes[i * dtype_bytes(dtype)], from, dtype_bytes(dtype));
  }
  return bytes;
}

Array loaded(const std::vector<uint8_t>& bytes, DType dtype) {
  Array out(bytes.size() / dtype_bytes(dtype));
  for (size_t i = 0; i < out.size(); ++i) {
    if (dtype == DType::f32) {
      float v;
      std::memcpy(&v, &bytes[4 * i], 4);
      out[i] = v;
    } else if (dtype == DType::bf16) {
      out[i] = bf16_to_f32(static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
    } else if (dtype == DType::i32) {
      int32_t v;
      std::memcpy(&v, &bytes[4 * i], 4);
      out[i] = v;
    } else {
      out[i] = bytes[i];
    }
  }
  return out;
}

// A graph with data for its inputs and weights.
struct Fixture {
  Graph graph;
  std::vector<std::vector<uint8_t>> data;  // per value; inputs and weights
  std::shared_ptr<WeightStore> weights = std::make_shared<WeightStore>();

  Fixture(const GraphSpec& spec, Random& random) : graph(decode(spec)), data(graph.values.size()) {
    for (const Node& n : graph.nodes) {
      // Coordinates and labels have ranges of their own.
      if (n.op == Op::point_encoding) fill(n.inputs[0], random, -8, 72), fill(n.inputs[1], random, -2, 5.999);
    }
    for (uint32_t v = 0; v < graph.values.size(); ++v) {
      const Value& value = graph.values[v];
      if (value.kind == ValueKind::computed) continue;
      const double limit = value.kind == ValueKind::weight && value.shape.size() > 1
                               ? 1 / std::sqrt(value.elements() / value.shape[0] + 1.0)
                               : 1;
      if (data[v].empty()) fill(v, random, -limit, limit);
      if (value.kind == ValueKind::weight) {
        weights->set(value.name, value.dtype, value.dtype, value.shape, data[v].data(), data[v].size());
      }
    }
  }

  void fill(uint32_t v, Random& random, double low, double high) {
    Array array(static_cast<size_t>(graph.values[v].elements()));
    for (double& x : array)
      x = graph.values[v].dtype == DType::i32 ? std::floor(random.uniform(low, high)) : random.uniform(low, high);
    data[v] = stored(array, graph.values[v].dtype);
  }

  std::vector<std::vector<uint8_t>> run(Plan& plan, const std::function<void(double)>& progress = {},
                                        const std::atomic<bool>* cancel = nullptr) const {
    std::vector<const void*> in;
    std::vector<void*> out;
    std::vector<std::vector<uint8_t>> results;
    for (uint32_t v : plan.graph().inputs) in.push_back(data[v].data());
    for (uint32_t v : plan.graph().outputs) results.emplace_back(plan.graph().values[v].bytes(), 0xee);
    for (auto& bytes : results) out.push_back(bytes.data());
    const std::atomic<bool> never{false};
    plan.run(in, out, cancel ? *cancel : never, progress, nullptr);
    return results;
  }
};

double tolerance(const Graph& g, const Node& n) {
  bool bf16 = g.output(n).dtype == DType::bf16;
  for (size_t i = 0; i < n.inputs.size(); ++i) bf16 = bf16 || (n.has_input(i) && g.input(n, i).dtype == DType::bf16);
  // A norm divides by a deviation that may be as small as sqrt(eps) = 1e-3.
  return bf16 ? 1.6e-2 : n.op == Op::layer_norm ? 3e-4 : 1e-5;
}

std::string compare(const Graph& g, const Node& n, const Array& actual, const Array& expected) {
  double scale = 1e-2;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  const double limit = tolerance(g, n) * scale;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (g.output(n).dtype == DType::u8) {
      if (std::abs(expected[i]) > limit && actual[i] != (expected[i] > 0)) return "mask " + std::to_string(i);
    } else if (!(std::abs(actual[i] - expected[i]) <= limit)) {
      return "element " + std::to_string(i) + " is " + std::to_string(actual[i]) + ", not " +
             std::to_string(expected[i]);
    }
  }
  return "";
}

bool in_weights(const Graph& g, uint32_t v) {
  return g.values[view_root(g, v)].kind == ValueKind::weight;
}

// The graph with every value as output is compared node by node with the loops, each fed with what the plan itself
// computed before. The graph as drawn shares memory between values: its outputs must be the same bit for bit.
void test_run(GraphSpec spec, Random& random, int threads, std::set<Op>* seen, const std::string& name) {
  const Fixture drawn(spec, random);
  Fixture all = drawn;
  all.graph.outputs.clear();
  for (const Node& n : all.graph.nodes) {
    if (!in_weights(all.graph, n.output)) all.graph.outputs.push_back(n.output);
  }
  std::string problem;
  try {
    Plan everything(all.weights, cpu::make_cpu_backend(threads), all.graph);
    const auto results = all.run(everything);
    std::vector<Array> values(all.graph.values.size());
    for (size_t v = 0; v < values.size(); ++v) values[v] = loaded(all.data[v], all.graph.values[v].dtype);
    for (size_t i = 0; i < results.size(); ++i) {
      const uint32_t v = all.graph.outputs[i];
      values[v] = loaded(results[i], all.graph.values[v].dtype);
    }
    for (const Node& n : all.graph.nodes) {
      std::vector<const Array*> in;
      for (uint32_t v : n.inputs) in.push_back(v == kAbsent ? nullptr : &values[v]);
      const Array expected = reference(all.graph, n, in);
      if (in_weights(all.graph, n.output)) values[n.output] = expected;
      const std::string error = compare(all.graph, n, values[n.output], expected);
      if (!error.empty() && problem.empty())
        problem = std::string(op_info(static_cast<uint8_t>(n.op)).name) + ": " + error;
      seen->insert(n.op);
    }
    Plan plan(drawn.weights, cpu::make_cpu_backend(threads), drawn.graph);
    for (int repeat = 0; repeat < 2 && problem.empty(); ++repeat) {
      const auto outputs = drawn.run(plan);
      for (size_t i = 0; i < outputs.size(); ++i) {
        for (size_t j = 0; j < results.size(); ++j) {
          if (all.graph.outputs[j] == drawn.graph.outputs[i] && outputs[i] != results[j]) {
            problem = "output " + std::to_string(i) + " of the packed plan differs in run " + std::to_string(repeat);
          }
        }
      }
    }
  } catch (const std::exception& error) {
    problem = error.what();
  }
  g_counts.check(problem.empty(), name + ": " + problem);
}

// ---- behaviour ----

GraphSpec two_layers() {
  GraphSpec s;
  const auto x = s.input({2, 3, 8});
  const auto hidden = s.node(Op::linear, {x, s.weight({16, 8}), s.weight({16})}, {2}, {2, 3, 16});
  s.outputs = {s.node(Op::linear, {hidden, s.weight({8, 16}), s.weight({8}), x}, {0}, {2, 3, 8})};
  return s;
}

void test_cancel(Random& random) {
  const Fixture f(two_layers(), random);
  Plan plan(f.weights, cpu::make_cpu_backend(1), f.graph);
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
  const Fixture f(two_layers(), random);
  auto make = [&](const std::function<void(GraphSpec&)>& change) {
    GraphSpec spec = two_layers();
    change(spec);
    return error_of([&] { Plan plan(f.weights, backend, decode(spec)); });
  };
  g_counts.check(make([](GraphSpec& s) { s.values[1].name = "none"; }).find("Expected a weight named none") == 0,
                 "a missing weight");
  g_counts.check(
      make([](GraphSpec& s) { s.values[2].name = s.values[5].name; }).find("but it is f32 [8]") != std::string::npos,
      "a weight of another shape");
  // A matrix that is no weight passes the decoder, which knows shapes only.
  GraphSpec spec = two_layers();
  spec.values[1].kind = static_cast<uint8_t>(ValueKind::input);
  const Fixture wrong(spec, random);
  Plan plan(wrong.weights, backend, wrong.graph);
  for (int i = 0; i < 2; ++i) {
    const auto message = error_of([&] { wrong.run(plan); });
    g_counts.check(message.find("to be a weight") != std::string::npos, "a product with an input: " + message);
  }
  GraphSpec doubled = two_layers();
  g_counts.check(error_of(
                     [&] {
                       const auto& v = f.graph.values[1];
                       f.weights->set(v.name, v.dtype, v.dtype, v.shape, f.data[1].data(), f.data[1].size());
                     },
                     "ERR_INVALID_ARGUMENT")
                         .find("every weight once") != std::string::npos,
                 "a weight given twice");
}

// A graph may ask for more memory than there is; only a kernel that overcommits without limit would grant it.
void test_out_of_memory() {
  std::ifstream policy("/proc/sys/vm/overcommit_memory");
  if (policy.get() == '1') return;
  GraphSpec s;
  const auto x = s.input({int64_t{1} << 20, int64_t{1} << 20});
  s.outputs = {s.node(Op::add, {x, x}, {}, {int64_t{1} << 20, int64_t{1} << 20})};
  Plan plan(std::make_shared<WeightStore>(), cpu::make_cpu_backend(1), decode(s));
  const std::atomic<bool> cancel{false};
  const auto message = error_of([&] { plan.run({nullptr}, {nullptr}, cancel, {}, nullptr); }, "ERR_OUT_OF_MEMORY");
  g_counts.check(message.find("the arena of a plan") != std::string::npos, "4 TiB: " + message);
}

// Nothing to compute must take no time, however many rows of nothing there are.
void test_rows_of_nothing() {
  constexpr int64_t kMany = int64_t{1} << 39;
  GraphSpec s;
  const auto x = s.input({kMany, 1, 0});
  const auto sum = s.node(Op::add, {x, x}, {}, {kMany, 1, 0});
  const auto turned = s.node(Op::transpose, {sum}, {0}, {kMany, 0, 1});
  const auto sliced = s.node(Op::slice, {x}, {0, 1}, {kMany, 1, 0});
  s.outputs = {s.node(Op::concat, {sliced, sum}, {}, {kMany, 2, 0}), turned,
               s.node(Op::grid_encoding, {s.input({2, 0})}, {}, {1, int64_t{1} << 20, int64_t{1} << 20, 0})};
  Plan plan(std::make_shared<WeightStore>(), cpu::make_cpu_backend(1), decode(s));
  const std::atomic<bool> cancel{false};
  const auto message = error_of([&] {
    plan.run({nullptr, nullptr}, {nullptr, nullptr, nullptr}, cancel, {}, nullptr);
  });
  g_counts.check(message.empty(), "2^39 empty rows: " + message);
}

int64_t number_from(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoll(text) : otherwise;
}

}  // namespace

int main() {
  const auto seed = static_cast<uint64_t>(number_from("BA_SAM_TEST_SEED", 1));
  const auto graphs = static_cast<int>(number_from("BA_SAM_TEST_GRAPHS", 300));
  const bool bf16 = cpu::bf16_unavailable_reason().empty();
  if (!bf16) std::printf("bf16: not on this processor, skipped\n");
  Random random(seed);
  test_layouts(random, graphs);
  std::set<Op> seen;
  for (uint8_t op = 0; op < kOpCount; ++op) {
    for (int i = 0; i < 40; ++i) {
      GraphMaker maker(random, bf16);
      maker.step(static_cast<Op>(op));
      const auto last = maker.spec.nodes.back();
      if (static_cast<Op>(last.op) == Op::reshape && maker.spec.values[last.inputs[0]].kind == 1)
        continue;  // of a weight
      maker.spec.outputs = {last.output};
      test_run(maker.spec, random, 1 + i % 2, &seen, std::string(op_info(op).name) + " " + std::to_string(i));
    }
  }
  for (int i = 0; i < graphs; ++i) {
    const GraphSpec spec = GraphMaker(random, bf16).make(static_cast<int>(random.integer(2, 25)));
    test_run(spec, random, 1 + i % 2, &seen, "graph " + std::to_string(i));
  }
  g_counts.check(seen.size() == kOpCount, "every op was run");
  test_cancel(random);
  test_errors(random);
  test_out_of_memory();
  test_rows_of_nothing();
  return g_counts.finish();
}

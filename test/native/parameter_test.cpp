// Parameters: set, run, changed, read back; never folded, packed or written to by a run. And products whose weight is not
// frozen. On the CPU and on a backend with memory of its own. Prints "N passed, N failed".
#include <limits>

#include "../../native/backends/cpu/backend.h"
#include "graph_fixture.h"
#include "staging_backend.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

struct Place {
  std::string name;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<StagingLog> log = std::make_shared<StagingLog>();  // unused by the CPU
};

std::vector<Place> places() {
  Place cpu{"CPU", cpu::make_cpu_backend(2)}, staged{"staged", nullptr};
  staged.backend = std::make_shared<StagingBackend>(staged.log);
  return {cpu, staged};
}

Array randoms(Random& random, size_t count) {
  Array out(count);
  for (double& x : out) x = random.uniform(-1, 1);
  return out;
}

// What the loops make of the fixture's data for the graph's outputs.
std::vector<Array> expected_outputs(const Fixture& f) {
  std::vector<Array> values(f.data.size());
  for (size_t v = 0; v < values.size(); ++v) values[v] = loaded(f.data[v], f.graph.values[v].dtype);
  for (const Node& n : f.graph.nodes) {
    const auto outputs = reference_of(f.graph, n, values);
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (n.has_output(i))
        values[n.outputs[i]] = loaded(stored(outputs[i], f.graph.output(n, i).dtype), f.graph.output(n, i).dtype);
    }
  }
  std::vector<Array> out;
  for (uint32_t v : f.graph.outputs) out.push_back(values[v]);
  return out;
}

// The plan's outputs against the loops; bf16 intermediates may round the other way.
std::string run_problem(const Fixture& f, Plan& plan, double limit) {
  const auto actual = f.run(plan);
  const auto expected = expected_outputs(f);
  for (size_t o = 0; o < actual.size(); ++o) {
    const Array out = loaded(actual[o], f.graph.values[f.graph.outputs[o]].dtype);
    for (size_t i = 0; i < out.size(); ++i) {
      if (!(std::abs(out[i] - expected[o][i]) <= limit * std::max(1.0, std::abs(expected[o][i]))))
        return "output " + std::to_string(o) + ", element " + std::to_string(i) + " is " + std::to_string(out[i]) +
               ", not " + std::to_string(expected[o][i]);
    }
  }
  return "";
}

// Everything but the parameter is a weight: folding it all would be right for ever after the first run only.
void test_changes(Random& random, const Place& place) {
  GraphSpec s;
  const auto p = s.parameter({4, 8}), w = s.weight({8, 8}), b = s.weight({8});
  const auto hidden = s.node(LinearOp{Activation::gelu}, {p, w, b}, {4, 8});
  const auto view = s.node(ReshapeOp{}, {p}, {8, 4});
  const auto turned = s.node(ReshapeOp{}, {view}, {4, 8});
  const auto row = s.node(ReshapeOp{}, {b}, {1, 8});
  const auto folded = s.node(AddOp{}, {w, row}, {8, 8});
  s.outputs = {s.node(AddOp{}, {hidden, turned}, {4, 8}), s.node(LinearOp{}, {turned, folded}, {4, 8})};
  Fixture f(s, random, place.backend);
  std::vector<size_t> scratch_offsets;
  const MemoryLayout layout =
      plan_memory(f.graph, std::vector<size_t>(f.graph.nodes.size(), 0), true, &scratch_offsets);
  g_counts.check(layout.constant[folded] && !layout.constant[p] && !layout.constant[hidden] && !layout.constant[view],
                 "what a parameter has made is no constant");
  g_counts.check(layout.allocation_of[p] < 0 && layout.allocation_of[view] < 0, "a parameter is not in the arena");

  Plan plan(f.weights, f.graph), before(f.weights, f.graph);
  std::vector<std::vector<uint8_t>> last;
  for (int i = 0; i < 4; ++i) {
    if (i > 0) f.set_parameter(p, stored(randoms(random, 32), DType::f32));
    const std::string problem = run_problem(f, plan, 1e-5);
    g_counts.check(problem.empty(), place.name + ", value " + std::to_string(i) + ": " + problem);
    const auto now = f.run(plan);
    g_counts.check(now == f.run(plan) && now != last,
                   place.name + ": a run sees the new value, and no other after that");
    g_counts.check(f.read_parameter(p) == f.data[p], place.name + ": a run leaves the parameter as it was");
    Plan fresh(f.weights, f.graph);
    g_counts.check(f.run(fresh) == now && f.run(before) == now, place.name + ": plans share the parameter");
    last = now;
  }
  g_counts.check(place.log->problem.empty(), place.name + ": " + place.log->problem);
}

// A change does not move the parameter: what was recorded of its address stays good.
void test_recordings(Random& random) {
  const auto log = std::make_shared<StagingLog>();
  GraphSpec s;
  const auto p = s.parameter({4, 8});
  s.outputs = {s.node(AddOp{}, {s.input({4, 8}), p}, {4, 8})};
  Fixture f(s, random, std::make_shared<StagingBackend>(log));
  Plan plan(f.weights, f.graph);
  f.run(plan);
  f.set_parameter(p, stored(randoms(random, 32), DType::f32));
  g_counts.check(run_problem(f, plan, 1e-6).empty() && log->recorded == 1 && log->replayed == 1 && log->problem.empty(),
                 "a changed parameter does not drop a recording " + log->problem);
}

// Every bit pattern, numbers or not, comes back.
void test_bits(Random& random, const Place& place) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    GraphSpec s;
    const auto p = s.parameter({3, 1000}, dtype), none = s.parameter({0, 4}, dtype);
    const auto view = s.node(ReshapeOp{}, {p}, {1000, 3}, dtype);
    s.outputs = {p, view, none};
    Fixture f(s, random, place.backend);
    Plan plan(f.weights, f.graph);
    for (int i = 0; i < 2; ++i) {
      std::vector<uint8_t> bytes(f.data[p].size());
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
      f.set_parameter(p, bytes);
      const auto out = f.run(plan);
      const std::string name = place.name + ", " + dtype_name(dtype);
      g_counts.check(f.read_parameter(p) == bytes, name + ": a parameter is read back bit for bit");
      g_counts.check(out[0] == bytes && out[1] == bytes && out[2].empty(), name + ": parameters as outputs");
      g_counts.check(f.read_parameter(none).empty(), name + ": a parameter without elements");
    }
  }
  g_counts.check(place.log->problem.empty(), place.name + ": " + place.log->problem);
}

void test_errors(Random& random, const Place& place) {
  WeightStore store(place.backend);
  const Array numbers = randoms(random, 12);
  const auto bytes = stored(numbers, DType::f32), halves = stored(numbers, DType::bf16);
  std::vector<uint8_t> read(48);
  const auto set = [&](const std::string& name, DType dtype, const Shape& shape, const std::vector<uint8_t>& value) {
    return error_of([&] { store.set_parameter(name, dtype, shape, value.data(), value.size()); },
                    "ERR_INVALID_ARGUMENT");
  };
  const auto refused = [&](const std::string& message, const std::string& expected) {
    g_counts.check(message.find(expected) != std::string::npos,
                   place.name + ": expected \"" + expected + "\" but received \"" + message + "\"");
  };
  g_counts.check(set("p", DType::f32, {3, 4}, bytes).empty(), "a parameter is set");
  const size_t held = store.bytes();
  g_counts.check(held >= 48, "a parameter counts among the bytes of a model");
  refused(set("p", DType::f32, {4, 3}, bytes), "Expected parameter p as f32 [3, 4] again but received f32 [4, 3]");
  refused(set("p", DType::f32, {12}, bytes), "again but received f32 [12]");
  refused(set("p", DType::bf16, {3, 4}, halves), "again but received bf16 [3, 4]");
  refused(set("p", DType::f32, {3, 4}, halves), "Expected 48 bytes for p of shape [3, 4] but received 24");
  refused(set("new", DType::f32, {3, 5}, bytes), "Expected 60 bytes for new");
  refused(set("new", DType::i32, {3, 4}, bytes), "Expected f32, f16 or bf16 for new but received i32");
  refused(set("new", DType::u8, {48}, bytes), "Expected f32, f16 or bf16 for new but received u8");
  refused(set("new", DType::f32, {-3, -4}, bytes), "at most 2^40 elements for new");
  refused(set("new", DType::f32, {int64_t{1} << 40, int64_t{1} << 40}, bytes), "at most 2^40 elements for new");
  g_counts.check(store.bytes() == held, "what was refused is not kept");

  store.set("w", DType::f32, DType::f32, {3, 4}, bytes.data(), bytes.size());
  refused(set("w", DType::f32, {3, 4}, bytes), "a name of its own for a parameter but w is a weight");
  refused(error_of(
              [&] {
                store.set("p", DType::f32, DType::f32, {3, 4}, bytes.data(), bytes.size());
              },
              "ERR_INVALID_ARGUMENT"),
          "a name of its own for a weight but p is a parameter");

  const auto get = [&](const std::string& name, size_t size) {
    return error_of([&] { store.read_parameter(name, read.data(), size); }, "ERR_INVALID_ARGUMENT");
  };
  refused(get("q", 48), "Expected a parameter named q but there is none");
  refused(get("w", 48), "Expected a parameter named w but there is none");
  refused(get("p", 47), "Expected 48 bytes for p");
  g_counts.check(get("p", 48).empty() && read == bytes, "the value that was there before all that was refused");
  g_counts.check(place.log->problem.empty(), place.name + ": " + place.log->problem);
}

// Plans ask for the parameters that their graphs declare when they run: the first value may come after the plan.
void test_plan_errors(const Place& place) {
  const auto weights = std::make_shared<WeightStore>(place.backend);
  const std::vector<uint8_t> bytes(48);
  weights->set_parameter("p", DType::f32, {3, 4}, bytes.data(), bytes.size());
  weights->set("w", DType::f32, DType::f32, {3, 4}, bytes.data(), bytes.size());
  const auto plan = [&](ValueKind kind, const std::string& name, const Shape& shape, DType dtype) {
    GraphSpec s;
    const auto v = s.value(kind, shape, dtype, name);
    s.outputs = {s.node(AddOp{}, {v, v}, shape, dtype)};
    std::vector<uint8_t> out(48);
    const std::atomic<bool> never{false};
    return error_of([&] { Plan(weights, decode(s)).run({}, {out.data()}, never, {}, nullptr); });
  };
  g_counts.check(plan(ValueKind::parameter, "p", {3, 4}, DType::f32).empty(), "a plan with its parameter");
  const auto refused = [&](const std::string& message, const std::string& expected) {
    g_counts.check(message.find(expected) != std::string::npos,
                   "expected \"" + expected + "\" but received " + message);
  };
  refused(plan(ValueKind::parameter, "p", {4, 3}, DType::f32),
          "Expected parameter p as f32 [4, 3] but it is f32 [3, 4]");
  refused(plan(ValueKind::parameter, "p", {3, 4}, DType::bf16), "Expected parameter p as bf16 [3, 4] but it is f32");
  refused(plan(ValueKind::parameter, "q", {3, 4}, DType::f32), "Expected a parameter named q but there is none");
  refused(plan(ValueKind::parameter, "w", {3, 4}, DType::f32), "Expected a parameter named w but there is none");
  refused(plan(ValueKind::weight, "p", {3, 4}, DType::f32), "Expected a weight named p but there is none");

  GraphSpec s;
  s.outputs = {s.value(ValueKind::parameter, {3, 4}, DType::f32, "late")};
  Plan made(weights, decode(s));
  std::vector<uint8_t> out(48, 0xee);
  const std::atomic<bool> never{false};
  const auto run = [&] { return error_of([&] { made.run({}, {out.data()}, never, {}, nullptr); }); };
  refused(run(), "Expected a parameter named late but there is none");
  weights->set_parameter("late", DType::f32, {3, 4}, bytes.data(), bytes.size());
  g_counts.check(run().empty() && out == bytes, "a plan runs once its parameter is there, and not before");
}

// A residual that is a parameter is added to where it does not lie.
void test_residual(Random& random, const Place& place) {
  GraphSpec s;
  const auto x = s.input({4, 8}), p = s.parameter({4, 8});
  s.outputs = {s.node(LinearOp{}, {x, s.weight({8, 8}), kAbsent, p}, {4, 8})};
  Fixture f(s, random, place.backend);
  Plan plan(f.weights, f.graph);
  for (int i = 0; i < 2; ++i) {
    const std::string problem = run_problem(f, plan, 1e-5);
    g_counts.check(problem.empty() && f.read_parameter(p) == f.data[p],
                   place.name + ", a residual that is a parameter: " + problem);
  }
}

// ---- products whose weight is not frozen ----

enum class Weight { frozen, input, parameter, cast_parameter, computed_from_weights, reshaped_parameter };

std::string weight_name(Weight kind) {
  const char* names[] = {"frozen", "an input", "a parameter", "a parameter's cast", "a sum of weights", "a view"};
  return names[static_cast<int>(kind)];
}

uint32_t declare(GraphSpec& s, Weight kind, const Shape& shape, DType dtype) {
  switch (kind) {
    case Weight::frozen:
      return s.weight(shape, dtype);
    case Weight::input:
      return s.within(s.input(shape, dtype), -0.2, 0.2);
    case Weight::parameter:
      return s.parameter(shape, dtype);
    case Weight::cast_parameter:
      return s.node(CastOp{}, {s.parameter(shape)}, shape, dtype);
    case Weight::computed_from_weights: {
      const auto a = s.weight(shape, dtype), b = s.weight(shape, dtype);
      return s.node(AddOp{}, {a, b}, shape, dtype);
    }
    case Weight::reshaped_parameter: {
      int64_t elements = 1;
      for (int64_t dim : shape) elements *= dim;
      return s.node(ReshapeOp{}, {s.parameter({elements, 1}, dtype)}, shape, dtype);
    }
  }
  return kAbsent;
}

// Every product, with a weight and a bias of that kind.
GraphSpec products(Weight kind, DType dtype, Activation activation) {
  GraphSpec s;
  const auto tokens = s.input({3, 7, 16}, dtype), grid = s.input({2, 5, 6, 16}, dtype), photo = s.input({2, 3, 8, 12});
  const auto bias = [&](int64_t n) { return declare(s, kind, {n}, DType::f32); };
  const auto weight = [&](const Shape& shape) { return declare(s, kind, shape, dtype); };
  const auto w = weight({32, 16}), taps = weight({12, 16, 3, 3}), up = weight({16, 12, 2, 2}),
             patch = weight({24, 3, 4, 4});
  const auto b32 = bias(32), b12 = bias(12), b24 = bias(24);
  const auto residual = s.input({3, 7, 32}, dtype);
  s.outputs = {
      s.node(LinearOp{activation}, {tokens, w, b32}, {3, 7, 32}, dtype),
      s.node(LinearOp{}, {tokens, w, kAbsent, residual}, {3, 7, 32}, dtype),
      s.node(LinearOp{activation, true}, {tokens, w, b32}, {3, 7, 32}, dtype),
      s.node(Conv2dOp{1, 1, activation}, {grid, taps, b12}, {2, 5, 6, 12}, dtype),
      s.node(Conv2dOp{2, 0, activation}, {grid, taps}, {2, 2, 2, 12}, dtype),
      s.node(ConvTranspose2dOp{activation}, {grid, up, b12}, {2, 10, 12, 12}, dtype),
      s.node(ConvTranspose2dOp{activation}, {grid, up}, {2, 10, 12, 12}, dtype),
      s.node(PatchEmbedOp{}, {photo, patch, b24}, {2, 2, 3, 24}),
  };
  return s;
}

void test_products(Random& random, const Place& place, DType dtype) {
  for (const Weight kind : {Weight::frozen, Weight::input, Weight::parameter, Weight::cast_parameter,
                            Weight::computed_from_weights, Weight::reshaped_parameter}) {
    for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
      const GraphSpec spec = products(kind, dtype, activation);
      std::set<Op> seen;
      const std::string name = place.name + ", products with " + weight_name(kind) + ", " + dtype_name(dtype);
      const std::string problem = problem_of(spec, random, place.backend, &seen);
      g_counts.check(problem.empty(), name + ": " + problem);
      // The same plan after every weight that can change has changed.
      Fixture f(spec, random, place.backend);
      Plan plan(f.weights, f.graph);
      const auto before = f.run(plan);
      for (uint32_t v = 0; v < f.graph.values.size(); ++v) {
        const Value& value = f.graph.values[v];
        const auto other = stored(randoms(random, static_cast<size_t>(value.elements())), value.dtype);
        if (value.kind == ValueKind::parameter) f.set_parameter(v, other);
        if (value.kind == ValueKind::input && kind == Weight::input) f.data[v] = other;
      }
      const auto after = f.run(plan);
      Plan fresh(f.weights, f.graph);
      g_counts.check(after == f.run(fresh) && after == f.run(plan),
                     name + ": a plan keeps nothing of a weight that changes");
      bool all = true;
      for (size_t o = 0; o < after.size(); ++o) all = all && after[o] != before[o];
      const bool changes = kind == Weight::input || kind == Weight::parameter || kind == Weight::cast_parameter ||
                           kind == Weight::reshaped_parameter;
      g_counts.check(all == changes, name + ": every product follows its weight");
    }
  }
  g_counts.check(place.log->problem.empty(), place.name + ": " + place.log->problem);
}

}  // namespace

int main() {
  Random random(1);
  std::vector<DType> dtypes = {DType::f32};
  if (cpu::unavailable_reason(DType::bf16).empty()) dtypes.push_back(DType::bf16);
  for (const Place& place : places()) {
    test_changes(random, place);
    test_bits(random, place);
    test_errors(random, place);
    test_plan_errors(place);
    test_residual(random, place);
    for (DType dtype : dtypes) test_products(random, place, dtype);
  }
  test_recordings(random);
  return g_counts.finish();
}

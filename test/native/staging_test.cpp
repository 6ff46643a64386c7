// Plans on a backend that cannot read host memory (staging_backend.h): inputs get places, recordings are kept while
// addresses hold and dropped when they change, and results are the CPU's bit for bit. Prints "N passed, N failed".
#include <cstdlib>

#include "graph_fixture.h"
#include "random_graph.h"
#include "staging_backend.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

struct Staged {
  std::shared_ptr<StagingLog> log = std::make_shared<StagingLog>();
  std::shared_ptr<Backend> backend = std::make_shared<StagingBackend>(log);

  bool clean(const std::string& name) {
    g_counts.check(log->problem.empty(), name + ": " + log->problem);
    return log->problem.empty();
  }
};

// x → linear → + x, with `rows` rows.
GraphSpec layers(int64_t rows) {
  GraphSpec s;
  const auto x = s.input({rows, 8});
  const auto w1 = s.value(ValueKind::weight, {16, 8}, DType::f32, "w1");
  const auto w2 = s.value(ValueKind::weight, {8, 16}, DType::f32, "w2");
  const auto hidden = s.node(LinearOp{Activation::gelu}, {x, w1}, {rows, 16});
  s.outputs = {s.node(LinearOp{}, {hidden, w2, kAbsent, x}, {rows, 8})};
  return s;
}

void test_random_graphs(Random& random, int count, const std::vector<DType>& halves) {
  for (int i = 0; i < count; ++i) {
    const GraphSpec spec = GraphMaker(random, halves).make(static_cast<int>(random.integer(1, 25)));
    Staged staged;
    const std::string name = "graph " + std::to_string(i);
    try {
      const Fixture f(spec, random, cpu::make_cpu_backend(1));
      Plan on_cpu(f.weights, f.graph);
      const auto expected = f.run(on_cpu);
      {
        Plan plan(f.store(staged.backend), f.graph);
        g_counts.check(f.run(plan) == expected && f.run(plan) == expected, name + " as on the CPU, twice");
      }
      g_counts.check(staged.log->recorded == 1 && staged.log->replayed == 1, name + " is recorded once");
      g_counts.check(staged.log->live_bytes == 0, name + " frees what it took");
      staged.clean(name);
    } catch (const std::exception& error) {
      g_counts.check(false, name + ": " + error.what());
    }
  }
}

void test_recordings(Random& random) {
  Staged staged;
  const Fixture small(layers(4), random, staged.backend), large(layers(4000), random, staged.backend);
  Plan a(small.weights, small.graph), b(small.weights, large.graph);
  auto counts = [&] { return std::make_pair(staged.log->recorded, staged.log->replayed); };
  const auto expected = small.run(a);
  g_counts.check(small.run(a) == expected && counts() == std::make_pair(1, 1), "a second run replays");
  // Other host addresses for inputs and outputs: fixtures copy neither, so draw the same graph's data anew.
  Fixture other = small;
  other.data[0] = std::vector<uint8_t>(small.data[0]);
  g_counts.check(other.run(a) == expected && counts() == std::make_pair(1, 2), "host addresses may change");
  large.run(b);
  g_counts.check(counts() == std::make_pair(2, 2), "another plan records its own");
  g_counts.check(small.run(a) == expected && counts() == std::make_pair(3, 2), "the arena has moved: recorded anew");
  large.run(b);
  g_counts.check(small.run(a) == expected && counts() == std::make_pair(3, 4),
                 "the arena stays when it is large enough");
  g_counts.check(staged.log->entered == 7, "every run enters the backend");
  staged.clean("recordings");
}

void test_inputs(Random& random) {
  {
    // Read by nobody, read and an output, an output only, a view as output, empty.
    GraphSpec s;
    s.input({1000, 1000});
    const auto read = s.input({3, 4}), passed = s.input({5}, DType::i32), viewed = s.input({2, 6}),
               empty = s.input({0, 4});
    const auto view = s.node(ReshapeOp{}, {viewed}, {12});
    s.outputs = {s.node(AddOp{}, {read, read}, {3, 4}), read, passed, view, empty};
    Staged staged;
    const Fixture f(s, random, staged.backend);
    Plan plan(f.weights, f.graph);
    const auto out = f.run(plan);
    Array sum = loaded(f.data[read], DType::f32);
    for (double& x : sum) x *= 2;
    g_counts.check(loaded(out[0], DType::f32) == sum, "an input that is read");
    g_counts.check(out[1] == f.data[read] && out[2] == f.data[passed] && out[3] == f.data[viewed] && out[4].empty(),
                   "inputs as outputs");
    g_counts.check(staged.log->uploaded_bytes == (12 + 5 + 12) * 4, "what nobody reads is not uploaded");
    g_counts.check(plan.arena_bytes() < 4096, "and has no place");
    f.run(plan);
    g_counts.check(staged.log->replayed == 1, "its host address does not matter");
    staged.clean("inputs");
  }
  {
    // The residual is an input that nobody needs afterwards: the sum is accumulated where it was uploaded, every time.
    GraphSpec s;
    const auto x = s.input({4, 8}), residual = s.input({4, 8});
    s.outputs = {s.node(LinearOp{}, {x, s.weight({8, 8}), kAbsent, residual}, {4, 8})};
    Staged staged;
    const Fixture f(s, random, staged.backend);
    Plan plan(f.weights, f.graph);
    const auto once = f.run(plan);
    g_counts.check(f.run(plan) == once, "a residual that is an input: uploaded anew for each run");
    Plan on_cpu(f.store(cpu::make_cpu_backend(1)), f.graph);
    g_counts.check(f.run(on_cpu) == once, "to the CPU's result");
    staged.clean("residual");
  }
}

// Constants are folded with queued work: scratch and constants must outlive it, also when folding fails halfway.
void test_constants(Random& random) {
  const std::atomic<bool> never{false};
  GraphSpec s;
  const auto w = s.weight({9, 4});
  const auto folded = s.node(ResizeRelPosOp{}, {w}, {5, 4});
  const auto product = s.node(LinearOp{}, {folded, s.weight({4, 4})}, {5, 4});
  s.outputs = {s.node(AddOp{}, {s.input({5, 4}), product}, {5, 4}), product};
  Staged staged;
  const Fixture f(s, random, staged.backend);
  {
    Plan plan(f.weights, f.graph);
    const std::atomic<bool> cancel{true};
    g_counts.check(!error_of([&] { f.run(plan, {}, &cancel); }, "ERR_ABORTED").empty(), "cancelled before folding");
    const auto out = f.run(plan);
    Plan on_cpu(f.store(cpu::make_cpu_backend(1)), f.graph);
    g_counts.check(out == f.run(on_cpu), "folded constants, one of them an output");
    staged.clean("constants");
  }
  {
    // A dtype that the backend does not have, which is known only when its kernel is made.
    GraphSpec broken = s;
    broken.outputs.push_back(broken.node(CastOp{}, {product}, {5, 4}, DType::f16));
    const Fixture g(broken, random, staged.backend);
    Plan plan(g.weights, g.graph);
    g_counts.check(!error_of([&] { g.run(plan); }, "ERR_DEVICE_UNAVAILABLE").empty(), "an error while preparing");
    staged.clean("broken constants");
  }
  {
    // No memory for the second constant, while the first one's work is queued.
    GraphSpec large = s;
    constexpr int64_t kSide = int64_t{1} << 19;
    large.outputs.push_back(large.node(GridEncodingOp{}, {large.weight({2, 1})}, {1, kSide, kSide, 2}));
    const Fixture g(large, random, staged.backend);
    Plan plan(g.weights, g.graph);
    for (int i = 0; i < 2; ++i) {
      const auto message = error_of(
          [&] {
            plan.run({nullptr}, {nullptr, nullptr, nullptr}, never, {}, nullptr);
          },
          "ERR_OUT_OF_MEMORY");
      g_counts.check(message.find("a folded constant") != std::string::npos, "folding fails halfway: " + message);
    }
    staged.clean("constants halfway");
  }
}

}  // namespace

int main() {
  const char* text = std::getenv("BA_SAM_TEST_SEED");
  Random random(text ? static_cast<uint64_t>(std::atoll(text)) : 1);
  test_recordings(random);
  test_inputs(random);
  test_constants(random);
  std::vector<DType> halves;
  if (cpu::unavailable_reason(DType::bf16).empty()) halves = {DType::bf16};
  test_random_graphs(random, 200, halves);
  return g_counts.finish();
}

// linear with operands of e4m3, in every variant: what the CPU and the CUDA backend are both tested with.
#pragma once

#include <string>
#include <vector>

#include "graph_fixture.h"

namespace ba_sam::test {

struct F8Case {
  std::string name;
  GraphSpec spec;
};

inline std::vector<F8Case> f8_cases(const std::vector<DType>& dtypes, int64_t many_rows) {
  std::vector<F8Case> cases;
  const int64_t shapes[][3] = {{1, 16, 16}, {7, 48, 32}, {33, 16, 528}, {many_rows, 32, 48}};
  for (const auto& [m, n, k] : shapes) {
    for (DType in : dtypes) {
      for (DType out : {in, DType::f32}) {
        for (int variant = 0; variant < 8; ++variant) {
          // 0 … 5: an activation, with a bias or without; then a residual
          const bool bias = variant % 2 == 1, residual = variant >= 6;
          GraphSpec s;
          std::vector<uint32_t> inputs = {s.input({m, k}, in), s.weight({n, k}, in), bias ? s.weight({n}) : kAbsent};
          if (residual) inputs.push_back(s.input({m, n}, out));
          const LinearOp op{residual ? Activation::none : static_cast<Activation>(variant / 2), true};
          s.outputs = {s.node(op, inputs, {m, n}, out)};
          cases.push_back({"linear f8 [" + std::to_string(m) + ", " + std::to_string(k) + "] " + dtype_name(in) +
                               " → [" + std::to_string(n) + "] " + dtype_name(out) + " variant " +
                               std::to_string(variant),
                           s});
        }
      }
    }
  }
  return cases;
}

// Rows of very different magnitude, one of them zero; magnitudes that f16 cannot hold stay away from it. Biases that bf16
// holds: some products round them to it.
inline void fill_f8_case(Fixture& f, Random& random) {
  const Node& n = f.graph.nodes[0];
  for (const uint32_t v : n.inputs) {
    if (v == kAbsent) continue;
    const Value& value = f.graph.values[v];
    Array array = loaded(f.data[v], value.dtype);
    const auto columns = static_cast<size_t>(value.shape.back());
    const int most = value.dtype == DType::f16 ? 4 : 20;
    if (v == n.inputs[0]) {
      for (size_t row = 0; row < array.size() / columns; ++row) {
        const double factor = row % 5 == 3 ? 0 : std::ldexp(1, static_cast<int>(random.integer(-4, most)));
        // Within a row, too: some of its numbers fall below the normal ones of e4m3, some to zero.
        for (size_t c = 0; c < columns; ++c) {
          const double inside = std::ldexp(1, -static_cast<int>(random.integer(0, most)));
          array[row * columns + c] *= factor * (c % 3 == 0 ? inside : 1);
        }
      }
    } else if (value.shape.size() == 1) {
      for (double& x : array) x = rounded(x, DType::bf16);
    }
    f.data[v] = stored(array, value.dtype);
  }
}

// A row with an infinity or a NaN gives no finite number, and leaves the others alone.
inline std::string f8_nonfinite_problem(Random& random, const std::shared_ptr<Backend>& backend, DType dtype) {
  GraphSpec s;
  s.outputs = {
      s.node(LinearOp{Activation::none, true}, {s.input({4, 32}, dtype), s.weight({16, 32}, dtype)}, {4, 16}, dtype)};
  Fixture f(s, random, backend);
  Array x = loaded(f.data[f.graph.inputs[0]], dtype);
  x[32 + 5] = INFINITY;
  x[96 + 31] = NAN;
  f.data[f.graph.inputs[0]] = stored(x, dtype);
  Plan plan(f.weights, f.graph);
  const Array out = loaded(f.run(plan)[0], dtype);
  for (size_t i = 0; i < out.size(); ++i) {
    if (std::isfinite(out[i]) != (i / 16 % 2 == 0))
      return "element " + std::to_string(i) + " is " + std::to_string(out[i]);
  }
  return "";
}

// The unit matrix as weight shows how x was rounded, bit for bit: also what is far below the largest number of its row.
inline std::string f8_rounding_problem(Random& random, const std::shared_ptr<Backend>& backend, DType dtype) {
  GraphSpec s;
  s.outputs = {
      s.node(LinearOp{Activation::none, true}, {s.input({40, 16}, dtype), s.weight({16, 16}, dtype)}, {40, 16})};
  Fixture f(s, random, backend);
  Array x(40 * 16), unit(16 * 16);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = i % 16 == 0 ? 400 : std::ldexp(random.uniform(-1, 1), static_cast<int>(random.integer(-12, 8)));
  }
  for (size_t i = 0; i < 16; ++i) unit[17 * i] = 1;
  const Node& n = f.graph.nodes[0];
  f.data[n.inputs[0]] = stored(x, dtype);
  f.data[n.inputs[1]] = stored(unit, dtype);
  f.weights = f.store(backend);
  Plan plan(f.weights, f.graph);
  const Array out = loaded(f.run(plan)[0], DType::f32);
  const Array expected = rounded_to_f8(loaded(f.data[n.inputs[0]], dtype), 16);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] != expected[i]) return "element " + std::to_string(i) + " is " + std::to_string(out[i]);
  }
  return "";
}

// The weight [16, 32] of a fixture as [32, 16], right after it was rounded as [16, 32].
inline std::string f8_reshaped_problem(const Fixture& f, DType dtype) {
  GraphSpec s;
  const auto x = s.input({9, 16}, dtype), w = s.weight({16, 32}, dtype);
  const auto view = s.node(ReshapeOp{}, {w}, {32, 16}, dtype);
  s.outputs = {s.node(LinearOp{Activation::none, true}, {x, view}, {9, 32}, dtype)};
  Random random(7);
  Fixture reshaped(s, random, f.weights->backend());
  for (uint32_t v = 0; v < f.graph.values.size(); ++v) {
    if (f.graph.values[v].kind == ValueKind::weight) reshaped.data[w] = f.data[v];
  }
  const Array in = loaded(reshaped.data[reshaped.graph.inputs[0]], dtype), weight = loaded(reshaped.data[w], dtype);
  const Graph& graph = reshaped.graph;
  const Node& n = graph.nodes.back();
  const Array expected = reference(graph, n, {&in, &weight, nullptr})[LinearOp::y];
  reshaped.weights = f.weights;
  Plan plan(f.weights, graph);
  const std::string problem = compare(graph, n, loaded(reshaped.run(plan)[0], dtype), expected);
  return problem.empty() ? "" : "reshaped: " + problem;
}

// The same weight in e4m3, in its own dtype, in e4m3 again, and in another shape.
inline std::string f8_shared_weight_problem(Random& random, const std::shared_ptr<Backend>& backend, DType dtype) {
  GraphSpec spec[2];
  for (int f8 = 0; f8 < 2; ++f8) {
    GraphSpec& s = spec[f8];
    const auto x = s.input({9, 32}, dtype), w = s.weight({16, 32}, dtype);
    s.outputs = {s.node(LinearOp{Activation::none, f8 == 1}, {x, w}, {9, 16}, dtype)};
  }
  Fixture f(spec[0], random, backend);
  Plan plain(f.weights, f.graph);
  const auto expected = f.run(plain);
  const Graph rounding = decode(spec[1]);
  std::vector<std::vector<uint8_t>> first;
  for (int i = 0; i < 2; ++i) {
    Plan plan(f.weights, rounding);
    const auto out = f.run(plan);
    if (i == 0) first = out;
    if (out != first) return "e4m3 differs the second time";
    if (out == expected) return "e4m3 rounds nothing";
    Plan again(f.weights, f.graph);
    if (f.run(again) != expected) return "the plain weight has changed";
    const std::string problem = f8_reshaped_problem(f, dtype);
    if (!problem.empty()) return problem;
  }
  return "";
}

// What is wrong with the output, "" when nothing is. Each row is compared by its own magnitude.
inline std::string f8_problem_of(const F8Case& c, Random& random, const std::shared_ptr<Backend>& backend) {
  Fixture f(c.spec, random, backend);
  fill_f8_case(f, random);
  f.weights = f.store(backend);
  const Node& n = f.graph.nodes[0];
  std::vector<Array> in(n.inputs.size());
  std::vector<const Array*> pointers;
  for (size_t i = 0; i < in.size(); ++i) {
    if (n.has_input(i)) in[i] = loaded(f.data[n.inputs[i]], f.graph.input(n, i).dtype);
    pointers.push_back(n.has_input(i) ? &in[i] : nullptr);
  }
  const Array expected = reference(f.graph, n, pointers)[LinearOp::y];
  Plan plan(f.weights, f.graph);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Array actual = loaded(f.run(plan)[0], f.graph.output(n).dtype);
    const auto columns = static_cast<size_t>(f.graph.output(n).shape.back());
    for (size_t row = 0; row < expected.size(); row += columns) {
      const auto part = [&](const Array& all) {
        return Array(all.begin() + static_cast<std::ptrdiff_t>(row),
                     all.begin() + static_cast<std::ptrdiff_t>(row + columns));
      };
      const std::string problem = compare(f.graph, n, part(actual), part(expected));
      if (!problem.empty()) return "row " + std::to_string(row / columns) + ": " + problem;
    }
  }
  return "";
}

}  // namespace ba_sam::test

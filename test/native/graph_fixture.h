// A graph with data, to be run by any backend and compared with the float64 loops of reference.h.
#pragma once

#include <atomic>
#include <cmath>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "../../native/core/bf16.h"
#include "../../native/core/f16.h"
#include "../../native/core/plan.h"
#include "op_cases.h"

namespace ba_sam::test {

// Elements in their dtype's bytes.
inline std::vector<uint8_t> stored(const Array& array, DType dtype) {
  std::vector<uint8_t> bytes(array.size() * dtype_bytes(dtype));
  for (size_t i = 0; i < array.size(); ++i) {
    const auto f = static_cast<float>(array[i]);
    const auto whole = static_cast<int32_t>(array[i]);
    const uint16_t half = dtype == DType::f16 ? f32_to_f16(f) : f32_to_bf16(f);
    const auto byte = static_cast<uint8_t>(whole);
    const void* from = dtype == DType::f32   ? static_cast<const void*>(&f)
                       : dtype == DType::i32 ? static_cast<const void*>(&whole)
                       : dtype == DType::u8  ? static_cast<const void*>(&byte)
                                             : &half;
    std::memcpy(&bytes[i * dtype_bytes(dtype)], from, dtype_bytes(dtype));
  }
  return bytes;
}

inline Array loaded(const std::vector<uint8_t>& bytes, DType dtype) {
  Array out(bytes.size() / dtype_bytes(dtype));
  for (size_t i = 0; i < out.size(); ++i) {
    if (dtype == DType::f32) {
      float v;
      std::memcpy(&v, &bytes[4 * i], 4);
      out[i] = v;
    } else if (dtype_bytes(dtype) == 2) {
      const auto half = static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
      out[i] = dtype == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
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

// A graph with data for its inputs, weights and parameters.
struct Fixture {
  Graph graph;
  std::vector<std::vector<uint8_t>> data;  // per value; none of computed ones
  std::shared_ptr<WeightStore> weights;

  // poisoned: one element of one value is not a number.
  Fixture(const GraphSpec& spec, Random& random, std::shared_ptr<Backend> backend, bool poisoned = false)
      : graph(decode(spec)), data(graph.values.size()) {
    for (uint32_t v = 0; v < graph.values.size(); ++v) {
      const Value& value = graph.values[v];
      if (value.kind == ValueKind::computed) continue;
      const bool constant = value.kind != ValueKind::input;
      const double limit = constant && value.shape.size() > 1
                               ? 1 / std::sqrt(value.elements() / std::max<int64_t>(1, value.shape[0]) + 1.0)
                               : 1;
      if (spec.values[v].low < spec.values[v].high) {
        fill(v, random, spec.values[v].low, spec.values[v].high);
      } else if (value.dtype == DType::u8) {
        fill(v, random, 0, 255.999);
      } else if (value.dtype == DType::i32) {
        fill(v, random, -2, 5.999);  // the labels of points, and numbers that are none
      } else {
        fill(v, random, -limit, limit);
      }
    }
    if (poisoned) poison(random);
    weights = store(std::move(backend));
  }

  void poison(Random& random) {
    std::vector<uint32_t> candidates;
    for (uint32_t v = 0; v < graph.values.size(); ++v) {
      if (!data[v].empty() && is_float(graph.values[v].dtype)) candidates.push_back(v);
    }
    if (candidates.empty()) return;
    const uint32_t v = candidates[random.integer(0, static_cast<int64_t>(candidates.size()) - 1)];
    const DType dtype = graph.values[v].dtype;
    const std::vector<uint8_t> nan = stored({std::nan("")}, dtype);
    const int64_t element = random.integer(0, graph.values[v].elements() - 1);
    std::memcpy(&data[v][static_cast<size_t>(element) * nan.size()], nan.data(), nan.size());
  }

  // The weights and parameters of this graph for another backend.
  std::shared_ptr<WeightStore> store(std::shared_ptr<Backend> backend) const {
    auto store = std::make_shared<WeightStore>(std::move(backend));
    for (uint32_t v = 0; v < graph.values.size(); ++v) {
      const Value& value = graph.values[v];
      if (value.kind == ValueKind::weight)
        store->set(value.name, value.dtype, value.dtype, value.shape, data[v].data(), data[v].size());
      if (value.kind != ValueKind::parameter) continue;
      store->backend()->enter();
      store->set_parameter(value.name, value.dtype, value.shape, data[v].data(), data[v].size());
    }
    return store;
  }

  // Overwrites a parameter, in the store that is there and in `data`.
  void set_parameter(uint32_t v, const std::vector<uint8_t>& bytes) {
    const Value& value = graph.values[v];
    weights->set_parameter(value.name, value.dtype, value.shape, bytes.data(), bytes.size());
    data[v] = bytes;
  }
  std::vector<uint8_t> read_parameter(uint32_t v) const {
    std::vector<uint8_t> bytes(graph.values[v].bytes(), 0xee);
    weights->read_parameter(graph.values[v].name, bytes.data(), bytes.size());
    return bytes;
  }

  void fill(uint32_t v, Random& random, double low, double high) {
    Array array(static_cast<size_t>(graph.values[v].elements()));
    for (double& x : array)
      x = is_float(graph.values[v].dtype) ? random.uniform(low, high) : std::floor(random.uniform(low, high));
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

inline double tolerance(const Graph& g, const Node& n, size_t output) {
  bool bf16 = false, f16 = false;
  auto look = [&](DType dtype) {
    bf16 = bf16 || dtype == DType::bf16;
    f16 = f16 || dtype == DType::f16;
  };
  look(g.output(n, output).dtype);
  // Operands are rounded alike everywhere, to e4m3; a device sums products of those with 14 bits.
  const auto* linear = std::get_if<LinearOp>(&n.op);
  if (linear && linear->f8) return bf16 ? 1e-2 : f16 ? 2e-3 : 5e-4;
  for (size_t i = 0; i < n.inputs.size(); ++i) {
    if (n.has_input(i)) look(g.input(n, i).dtype);
  }
  // A norm divides by a deviation that may be as small as sqrt(eps) = 1e-3.
  return bf16 ? 1.6e-2 : f16 ? 2e-3 : n.kind() == Op::layer_norm ? 3e-4 : 1e-5;
}

// What is wrong with one output of a node, "" when nothing is. poisoned: an operand is not a number somewhere. In convolutions
// it may spread further than in the loops, which leave out the zeros around a picture.
inline std::string compare(const Graph& g, const Node& n, const Array& actual, const Array& expected, size_t output = 0,
                           bool poisoned = false) {
  const bool spreads = poisoned && (n.kind() == Op::conv2d || n.kind() == Op::depthwise_conv2d);
  if (actual.size() != expected.size()) return "the loop gives " + std::to_string(expected.size()) + " elements";
  double scale = 1e-2;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  const double limit = tolerance(g, n, output) * scale;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (g.output(n, output).dtype == DType::u8) {
      if (std::abs(expected[i]) > limit && actual[i] != (expected[i] > 0)) return "mask " + std::to_string(i);
    } else if (std::isnan(actual[i]) ? !spreads && !std::isnan(expected[i])
                                     : !(std::abs(actual[i] - expected[i]) <= limit)) {
      return "element " + std::to_string(i) + " is " + std::to_string(actual[i]) + ", not " +
             std::to_string(expected[i]);
    }
  }
  return "";
}

inline bool in_weights(const Graph& g, uint32_t v) {
  return g.values[view_root(g, v)].kind == ValueKind::weight;
}

// The loop's outputs of a node whose operands have these elements.
inline std::vector<Array> reference_of(const Graph& graph, const Node& n, const std::vector<Array>& values) {
  std::vector<const Array*> in;
  for (uint32_t v : n.inputs) in.push_back(v == kAbsent ? nullptr : &values[v]);
  return reference(graph, n, std::move(in));
}

// The graph with every value as output is compared node by node with the loops, each fed with what the plan itself
// computed before. The graph as drawn shares memory between values: its outputs must be the same bit for bit.
// poisoned: with one element that is not a number, which must show wherever it does in the loops; `seen` then gets the ops whose
// outputs it reaches, and bits are not compared.
// Returns what is wrong, "" when nothing is.
inline std::string problem_of(const GraphSpec& spec, Random& random, const std::shared_ptr<Backend>& backend,
                              std::set<Op>* seen, bool poisoned = false) {
  const Fixture drawn(spec, random, backend, poisoned);
  Fixture all = drawn;
  all.graph.outputs.clear();
  for (const Node& n : all.graph.nodes) {
    for (uint32_t v : n.outputs) {
      if (v != kAbsent && !in_weights(all.graph, v)) all.graph.outputs.push_back(v);
    }
  }
  std::string problem;
  try {
    Plan everything(all.weights, all.graph);
    const auto results = all.run(everything);
    std::vector<Array> values(all.graph.values.size());
    for (size_t v = 0; v < values.size(); ++v) values[v] = loaded(all.data[v], all.graph.values[v].dtype);
    for (size_t i = 0; i < results.size(); ++i) {
      const uint32_t v = all.graph.outputs[i];
      values[v] = loaded(results[i], all.graph.values[v].dtype);
    }
    for (const Node& n : all.graph.nodes) {
      const std::vector<Array> expected = reference_of(all.graph, n, values);
      for (size_t i = 0; i < n.outputs.size(); ++i) {
        if (!n.has_output(i)) continue;
        if (in_weights(all.graph, n.outputs[i])) values[n.outputs[i]] = expected[i];
        const std::string error = compare(all.graph, n, values[n.outputs[i]], expected[i], i, poisoned);
        if (!error.empty() && problem.empty())
          problem = std::string(n.info().name) + ", " + n.info().outputs[i].name + ": " + error;
      }
      const bool reached = std::any_of(expected.begin(), expected.end(), [](const Array& output) {
        return std::any_of(output.begin(), output.end(), [](double x) { return std::isnan(x); });
      });
      if (!poisoned || reached) seen->insert(n.kind());
    }
    Plan plan(drawn.weights, drawn.graph);
    for (int repeat = 0; repeat < 2 && problem.empty() && !poisoned; ++repeat) {
      const auto outputs = drawn.run(plan);
      for (size_t i = 0; i < outputs.size(); ++i) {
        for (size_t j = 0; j < results.size(); ++j) {
          if (all.graph.outputs[j] == drawn.graph.outputs[i] && outputs[i] != results[j]) {
            problem = "output " + std::to_string(i) + " of the packed plan differs in run " + std::to_string(repeat);
          }
        }
      }
    }
    for (uint32_t v = 0; v < drawn.graph.values.size(); ++v) {
      const bool parameter = drawn.graph.values[v].kind == ValueKind::parameter;
      if (parameter && drawn.read_parameter(v) != drawn.data[v] && problem.empty()) {
        problem = "parameter " + drawn.graph.values[v].name + " is not what it was";
      }
    }
  } catch (const std::exception& error) {
    problem = error.what();
  }
  return problem;
}

}  // namespace ba_sam::test

// What a fuzzer does with one input: decode it as a graph and, when that is small, make a plan and run it on the CPU.
// Anything but success or a SamError ends the process. Also the structure-aware mutations, which keep most graphs
// decodable where flipped bytes would not get past the first check.
#pragma once

#include <cmath>
#include <limits>

#include "../../native/backends/cpu/backend.h"
#include "../../native/core/bf16.h"
#include "../../native/core/plan.h"
#include "../../native/ops/rule.h"
#include "../native/random_graph.h"

namespace ba_sam::fuzz {

using test::GraphSpec;
using test::Random;

constexpr int64_t kMaxElements = 1000000;
constexpr size_t kMaxNodes = 64;
constexpr double kMaxCost = 2e8;  // about a second of one core under sanitizers

// Graphs from which mutations are drawn; also where two graphs are spliced.
struct Report {
  uint64_t inputs = 0, decoded = 0, planned = 0, finished = 0;
};

inline Report& report() {
  static Report r;
  return r;
}

// Values as they may come from a broken checkpoint or a hostile caller. `mode` 0 … 4.
inline std::vector<uint8_t> synthetic(const Value& value, int mode, Random& random) {
  constexpr float kLarge = std::numeric_limits<float>::max();
  std::vector<uint8_t> bytes(value.bytes());
  const size_t width = dtype_bytes(value.dtype);
  for (size_t i = 0; i + width <= bytes.size(); i += width) {
    float f = static_cast<float>(random.uniform(-1, 1));
    if (mode == 1) f = 0;
    if (mode == 2) f = std::numeric_limits<float>::quiet_NaN();
    if (mode == 3) f = random.chance(0.5) ? kLarge : -kLarge;
    if (mode == 4) f = random.chance(0.5) ? std::numeric_limits<float>::infinity() : f * 1e-40f;
    const auto whole = static_cast<int32_t>(mode == 3 ? random.next() : random.integer(-2, 5));
    const uint16_t half = f32_to_bf16(f);
    const void* from = width == 2 ? static_cast<const void*>(&half) : &f;
    if (value.dtype == DType::i32 || value.dtype == DType::u8) from = &whole;
    std::memcpy(&bytes[i], from, width);
  }
  return bytes;
}

inline void run_graph(const Graph& graph, uint64_t seed) {
  if (graph.nodes.size() > kMaxNodes) return;
  int64_t elements = 0;
  double cost = 0;
  for (const Value& v : graph.values)
    elements = std::min(kMaxElements + 1, elements + std::min(kMaxElements + 1, v.elements()));
  for (const Node& n : graph.nodes) cost += node_cost(graph, n);
  if (elements > kMaxElements || !(cost <= kMaxCost)) return;

  Random random(seed);
  const int mode = static_cast<int>(random.integer(0, 4));
  auto weights = std::make_shared<WeightStore>(cpu::make_cpu_backend(1 + static_cast<int>(seed & 1)));
  const auto set_parameters = [&] {
    for (const Value& v : graph.values) {
      if (v.kind != ValueKind::parameter) continue;
      const auto bytes = synthetic(v, mode, random);
      weights->set_parameter(v.name, v.dtype, v.shape, bytes.data(), bytes.size());
    }
  };
  for (const Value& v : graph.values) {
    if (v.kind != ValueKind::weight) continue;
    const auto bytes = synthetic(v, mode, random);
    // Refused for two weights of one name or a dtype of integers.
    weights->set(v.name, v.dtype, v.dtype, v.shape, bytes.data(), bytes.size());
  }
  set_parameters();
  std::vector<std::vector<uint8_t>> data;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (uint32_t v : graph.inputs) data.push_back(synthetic(graph.values[v], mode, random));
  for (const auto& bytes : data) in.push_back(bytes.data());
  std::vector<std::vector<uint8_t>> results;
  for (uint32_t v : graph.outputs) results.emplace_back(graph.values[v].bytes());
  for (auto& bytes : results) out.push_back(bytes.data());
  Plan plan(weights, graph);
  ++report().planned;
  const std::atomic<bool> cancel{false};
  plan.run(in, out, cancel, {}, nullptr);
  set_parameters();
  plan.run(in, out, cancel, {}, nullptr);
  for (const Value& v : graph.values) {
    if (v.kind != ValueKind::parameter) continue;
    std::vector<uint8_t> bytes(v.bytes());
    weights->read_parameter(v.name, bytes.data(), bytes.size());
  }
  ++report().finished;
}

// 64-bit FNV-1a: the data of a run follows from the graph's bytes, so that every finding can be repeated.
inline uint64_t hash(const uint8_t* data, size_t size) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < size; ++i) h = (h ^ data[i]) * 1099511628211u;
  return h;
}

inline void run_input(const uint8_t* data, size_t size) {
  ++report().inputs;
  try {
    const Graph graph = decode_graph(data, size);
    ++report().decoded;
    run_graph(graph, hash(data, size));
  } catch (const SamError&) {
  }
}

// ---- mutations ----

inline int64_t strange_dim(Random& random) {
  constexpr int64_t kDims[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 255, 256, 257, 1 << 20, int64_t{1} << 39, -1};
  return kDims[random.integer(0, 17)];
}

inline double strange_number(Random& random) {
  constexpr double kNumbers[] = {0,    1,    2,  3,   4,    5,      16,    64,      255,
                                 1024, 4096, -1, 0.5, 1e-6, 1e-300, 1e300, 1048576, 2147483648.0};
  return kNumbers[random.integer(0, 17)];
}

// The node's declared output shape follows a changed input's where the rule is easy, so that the change survives.
inline void change_dim_everywhere(GraphSpec& spec, int64_t from, int64_t to) {
  for (auto& value : spec.values) {
    for (int64_t& dim : value.shape) {
      if (dim == from) dim = to;
    }
  }
}

inline size_t below(size_t count, Random& random) {
  return static_cast<size_t>(random.integer(0, static_cast<int64_t>(count) - 1));
}

inline std::string strange_text(Random& random) {
  const char* texts[] = {"none", "relu",          "gelu",       "manhattan", "euclidean", "chebyshev", "channelsLast",
                         "",     "channelsFirst", "activation", "slopes",    "f8",        "linear",    "\xff\xfe"};
  if (random.chance(0.05)) return std::string(static_cast<size_t>(random.integer(1000, 70000)), 'x');
  return texts[below(std::size(texts), random)];
}

// The value of an attribute: one number another, more or fewer of them, or text in place of numbers and the reverse.
inline void mutate_attribute(test::Attribute& attribute, Random& random) {
  auto* numbers = std::get_if<std::vector<double>>(&attribute.value);
  const auto number = [&] {
    return random.chance(0.5) ? strange_number(random) : static_cast<double>(random.integer(0, 9));
  };
  if (random.chance(0.1)) {
    if (numbers) {
      attribute.value = strange_text(random);
    } else {
      attribute.value = std::vector<double>{number()};
    }
  } else if (!numbers) {
    attribute.value = strange_text(random);
  } else if (numbers->empty() || random.chance(0.2)) {
    numbers->resize(static_cast<size_t>(random.integer(0, 5)), number());
  } else {
    (*numbers)[below(numbers->size(), random)] = number();
  }
}

inline void mutate_attributes(GraphSpec::Step& node, Random& random) {
  auto& all = node.attributes;
  const int64_t what = random.integer(0, 9);
  if (what == 0) {  // one more, known or not, or one twice
    all.push_back(all.empty() || random.chance(0.5) ? test::Attribute{strange_text(random), std::vector<double>{1}}
                                                    : all[below(all.size(), random)]);
  } else if (!all.empty() && what == 1) {  // by another name
    all[below(all.size(), random)].name = strange_text(random);
  } else if (!all.empty() && what <= 3) {  // left out: the default, or an error
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(below(all.size(), random)));
  } else if (!all.empty()) {
    mutate_attribute(all[below(all.size(), random)], random);
  }
}

// An optional output comes, goes, or is another value; sometimes there is one too many.
inline void mutate_outputs(GraphSpec& spec, GraphSpec::Step& node, Random& random) {
  if (random.chance(0.5) && node.outputs.size() > 1) {
    node.outputs.pop_back();
  } else if (random.chance(0.5)) {
    node.outputs[below(node.outputs.size(), random)] =
        random.chance(0.5) ? kAbsent : static_cast<uint32_t>(below(spec.values.size(), random));
  } else {
    // With the first one's shape, or what the statistics of its rows have.
    Shape shape = spec.values[node.outputs[0] < spec.values.size() ? node.outputs[0] : 0].shape;
    if (random.chance(0.7)) shape.back() = 1;
    if (random.chance(0.3)) node.outputs.push_back(kAbsent);
    node.outputs.push_back(spec.value(ValueKind::computed, shape));
  }
}

inline void mutate(GraphSpec& spec, Random& random) {
  if (spec.values.empty() || spec.nodes.empty()) return;
  auto& value = spec.values[below(spec.values.size(), random)];
  auto& node = spec.nodes[below(spec.nodes.size(), random)];
  const auto any_value = [&] { return static_cast<uint32_t>(below(spec.values.size(), random)); };
  switch (random.integer(0, 12)) {
    case 0:
      if (!value.shape.empty()) value.shape[below(value.shape.size(), random)] = strange_dim(random);
      return;
    case 1:
      if (!value.shape.empty()) {
        change_dim_everywhere(spec, value.shape[below(value.shape.size(), random)],
                              random.chance(0.5) ? random.integer(1, 40) : strange_dim(random));
      }
      return;
    case 2: {
      // Mostly among the kinds that need no node, so that the change survives; a value that was computed has no name.
      if (value.name.empty() && random.chance(0.8)) return;
      const ValueKind kinds[] = {ValueKind::input, ValueKind::weight, ValueKind::parameter, ValueKind::computed};
      value.kind = static_cast<uint8_t>(kinds[random.chance(0.1) ? 3 : below(3, random)]);
      return;
    }
    case 3:
      if (random.chance(0.5)) {
        value.dtype = static_cast<uint8_t>(random.integer(0, 4));
      } else {
        for (auto& v : spec.values) v.dtype = v.dtype == 4 ? 4 : static_cast<uint8_t>(random.integer(0, 1));
      }
      return;
    case 4:
      if (!node.inputs.empty())
        node.inputs[below(node.inputs.size(), random)] = random.chance(0.2) ? kAbsent : any_value();
      return;
    case 5:
      return mutate_attributes(node, random);
    case 6:
      if (random.chance(0.1)) {
        node.op = strange_text(random);
      } else {
        // With that op's attributes, or nothing but the name would be looked at.
        const AnyOp op = make_op(static_cast<Op>(random.integer(0, kOpCount - 1)));
        node.op = test::info_of(op).name;
        node.attributes = test::attributes_of(op);
        for (auto& attribute : node.attributes) {
          if (random.chance(0.5)) mutate_attribute(attribute, random);
        }
      }
      return;
    case 7:
      spec.outputs.push_back(any_value());
      return;
    case 8:
      spec.outputs = node.outputs;
      return;
    case 9:
      std::swap(node, spec.nodes[below(spec.nodes.size(), random)]);
      return;
    case 10:
      node.inputs.push_back(any_value());
      return;
    case 11:
      return mutate_outputs(spec, node, random);
    default: {
      // A random node that uses what is there: valid more often than not. Its arithmetic on shapes is for small ones.
      for (const auto& v : spec.values) {
        for (int64_t dim : v.shape) {
          if (dim < 0 || dim > 4096) return;
        }
      }
      test::GraphMaker maker(random, {DType::bf16});
      maker.spec = spec;
      maker.step(static_cast<Op>(random.integer(0, kOpCount - 1)));
      spec = maker.spec;
      spec.outputs.push_back(spec.nodes.back().outputs[0]);
    }
  }
}

// A mutant of `bytes`, or a fresh random graph when they do not decode.
inline std::vector<uint8_t> mutant(const uint8_t* bytes, size_t size, Random& random) {
  GraphSpec spec;
  try {
    spec = test::spec_of(decode_graph(bytes, size));
  } catch (const SamError&) {
    spec = test::GraphMaker(random, {DType::bf16}).make(static_cast<int>(random.integer(1, 12)));
  }
  for (int64_t n = random.integer(0, 3); n >= 0; --n) mutate(spec, random);
  std::vector<uint8_t> out = spec.encode();
  if (random.chance(0.1) && !out.empty()) {
    for (int64_t n = random.integer(1, 4); n > 0; --n)
      out[static_cast<size_t>(random.next() % out.size())] = static_cast<uint8_t>(random.next());
    if (random.chance(0.3)) out.resize(static_cast<size_t>(random.next() % out.size()));
  }
  return out;
}

}  // namespace ba_sam::fuzz

// What the native tests and the graph fuzzer share: counting, seeded random numbers, and graphs as plain data that
// encode to the wire format (see native/core/graph.h) without any check, so that broken ones can be made too.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "../../native/core/graph.h"

namespace ba_sam::test {

struct Counts {
  int passed = 0, failed = 0;

  void check(bool ok, const std::string& what) {
    if (ok) {
      ++passed;
    } else {
      ++failed;
      std::printf("FAILED %s\n", what.c_str());
    }
  }
  int finish() const {
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
  }
};

// splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // low … high, both included.
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(next() >> 11) / 9007199254740992.0);
  }
  bool chance(double p) { return uniform(0, 1) < p; }

 private:
  uint64_t state_;
};

struct GraphSpec {
  struct Item {
    uint8_t kind = 0, dtype = 0;
    Shape shape;
    std::string name;
  };
  struct Step {
    uint8_t op = 0;
    std::vector<uint32_t> inputs;
    uint32_t output = 0;
    std::vector<double> attributes;
  };
  uint32_t magic = kGraphMagic, version = kGraphVersion;
  std::vector<Item> values;
  std::vector<Step> nodes;
  std::vector<uint32_t> outputs;

  uint32_t value(ValueKind kind, Shape shape, DType dtype = DType::f32, std::string name = "") {
    if (name.empty() && kind != ValueKind::computed) name = "v" + std::to_string(values.size());
    values.push_back({static_cast<uint8_t>(kind), static_cast<uint8_t>(dtype), std::move(shape), std::move(name)});
    return static_cast<uint32_t>(values.size() - 1);
  }
  uint32_t input(Shape shape, DType dtype = DType::f32) { return value(ValueKind::input, std::move(shape), dtype); }
  uint32_t weight(Shape shape, DType dtype = DType::f32) { return value(ValueKind::weight, std::move(shape), dtype); }
  uint32_t node(Op op, std::vector<uint32_t> inputs, std::vector<double> attributes, Shape shape,
                DType dtype = DType::f32) {
    const uint32_t output = value(ValueKind::computed, std::move(shape), dtype);
    nodes.push_back({static_cast<uint8_t>(op), std::move(inputs), output, std::move(attributes)});
    return output;
  }

  std::vector<uint8_t> encode() const {
    std::vector<uint8_t> out;
    auto put = [&](auto number) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(&number);
      out.insert(out.end(), bytes, bytes + sizeof(number));
    };
    put(magic);
    put(version);
    put(static_cast<uint32_t>(values.size()));
    for (const Item& item : values) {
      put(item.kind);
      put(item.dtype);
      put(static_cast<uint8_t>(item.shape.size()));
      put(uint8_t{0});
      for (int64_t dim : item.shape) put(dim);
      if (item.kind == static_cast<uint8_t>(ValueKind::computed)) continue;
      put(static_cast<uint16_t>(item.name.size()));
      out.insert(out.end(), item.name.begin(), item.name.end());
    }
    put(static_cast<uint32_t>(nodes.size()));
    for (const Step& step : nodes) {
      put(step.op);
      put(static_cast<uint8_t>(step.inputs.size()));
      put(static_cast<uint16_t>(step.attributes.size()));
      for (uint32_t v : step.inputs) put(v);
      put(step.output);
      for (double a : step.attributes) put(a);
    }
    put(static_cast<uint32_t>(outputs.size()));
    for (uint32_t v : outputs) put(v);
    return out;
  }
};

// The inverse of encode() for a graph that decodes.
inline GraphSpec spec_of(const Graph& graph) {
  GraphSpec spec;
  for (const Value& v : graph.values) spec.value(v.kind, v.shape, v.dtype, v.name);
  for (const Node& n : graph.nodes)
    spec.nodes.push_back({static_cast<uint8_t>(n.op), n.inputs, n.output, n.attributes});
  spec.outputs = graph.outputs;
  return spec;
}

// The message of the SamError that `f` throws with this code, "" when it returns, the problem otherwise.
inline std::string error_of(const std::function<void()>& f, const std::string& code = "ERR_GRAPH") {
  try {
    f();
    return "";
  } catch (const SamError& error) {
    return error.code() == code ? error.what() : "[code " + error.code() + "] " + error.what();
  } catch (const std::exception& error) {
    return std::string("[not a SamError] ") + error.what();
  }
}

}  // namespace ba_sam::test

// A graph as it comes from TypeScript: values, nodes in execution order, outputs. Untrusted until decode_graph
// returns: afterwards every index, shape, dtype and attribute has been checked.
//
// Wire format, little-endian (written by lib/graph/graph.ts):
//   u32 magic "BSG1", u32 version
//   u32 value count, then per value:  u8 kind, u8 dtype, u8 rank, u8 0, i64 × rank dims,
//                                     and for inputs and weights u16 length + UTF-8 name
//   u32 node count, then per node:    u8 op, u8 input count, u16 attribute count, u32 × inputs, u32 output,
//                                     f64 × attributes
//   u32 output count, then u32 × outputs
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ops.h"
#include "tensor.h"

namespace ba_sam {

constexpr uint32_t kGraphMagic = 0x31475342;  // "BSG1"
constexpr uint32_t kGraphVersion = 1;
constexpr int kMaxRank = 6;

enum class ValueKind : uint8_t { input = 0, weight = 1, computed = 2 };

struct Value {
  ValueKind kind = ValueKind::computed;
  DType dtype = DType::f32;
  Shape shape;
  std::string name;       // inputs and weights
  int32_t producer = -1;  // node index; computed values only
  uint32_t root = 0;      // see view_root

  int64_t elements() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_bytes(dtype); }
};

struct Node {
  Op op = Op::linear;
  std::vector<uint32_t> inputs;  // value indices; kAbsent for an optional input left out
  uint32_t output = 0;
  std::vector<double> attributes;

  bool has_input(size_t i) const { return i < inputs.size() && inputs[i] != kAbsent; }
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<uint32_t> inputs;   // value indices, in declaration order
  std::vector<uint32_t> outputs;  // value indices

  const Value& input(const Node& node, size_t i) const { return values[node.inputs[i]]; }
  const Value& output(const Node& node) const { return values[node.output]; }
};

// Throws SamError ERR_GRAPH that names the offending value, node or byte offset; never reads past `size`.
Graph decode_graph(const uint8_t* bytes, size_t size);

// The value whose memory this one shares: reshape is a view.
uint32_t view_root(const Graph& graph, uint32_t value);

std::string shape_text(const Shape& shape);  // "[1, 64, 64, 768]"

}  // namespace ba_sam

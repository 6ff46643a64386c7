// A graph as it comes from TypeScript: values, nodes in execution order, outputs. Untrusted until decode_graph
// returns: afterwards every index, shape, dtype and attribute has been checked.
//
// Wire format, little-endian (written by lib/graph/graph.ts); text is u16 length + UTF-8:
//   u32 magic "BSG1", u32 version
//   u32 value count, then per value:  u8 kind, u8 dtype, u8 rank, u8 0, i64 × rank dims, and unless it is computed its
//                                     name as text
//   u32 node count, then per node:    op as text, u8 input count, u32 × inputs, u8 output count, u32 × outputs,
//                                     u8 attribute count, then per attribute its name as text, u8 1 and text, or
//                                     u8 0, u16 count and f64 × count
//   u32 output count, then u32 × outputs
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "../ops/op.h"
#include "tensor.h"

namespace ba_sam {

constexpr uint32_t kGraphMagic = 0x31475342;  // "BSG1"
constexpr uint32_t kGraphVersion = 2;
constexpr int kMaxRank = 6;

// weight: frozen; may be folded, packed and freed. parameter: mutable, kept in the backend's memory as it is.
enum class ValueKind : uint8_t { input = 0, weight = 1, computed = 2, parameter = 3 };
constexpr uint8_t kValueKindCount = 4;

struct Value {
  ValueKind kind = ValueKind::computed;
  DType dtype = DType::f32;
  Shape shape;
  std::string name;       // all but computed values
  int32_t producer = -1;  // node index; computed values only
  uint32_t root = 0;      // see view_root

  int64_t elements() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * dtype_bytes(dtype); }
};

struct Node {
  AnyOp op;
  std::vector<uint32_t> inputs;   // value indices; kAbsent for an optional one left out
  std::vector<uint32_t> outputs;  // likewise; the first is always there

  Op kind() const { return static_cast<Op>(op.index()); }
  const OpInfo& info() const { return op_info(kind()); }
  template <typename Struct>
  const Struct& as() const {
    return std::get<Struct>(op);
  }
  bool has_input(size_t i) const { return i < inputs.size() && inputs[i] != kAbsent; }
  bool has_output(size_t i) const { return i < outputs.size() && outputs[i] != kAbsent; }
  // Index of the input that the first output may be accumulated onto, −1 when there is none.
  int accumulated_input() const;
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;
  std::vector<uint32_t> inputs;   // value indices, in declaration order
  std::vector<uint32_t> outputs;  // value indices

  const Value& input(const Node& node, size_t i) const { return values[node.inputs[i]]; }
  const Value& output(const Node& node, size_t i = 0) const { return values[node.outputs[i]]; }
};

// Throws SamError ERR_GRAPH that names the offending value, node or byte offset; never reads past `size`.
Graph decode_graph(const uint8_t* bytes, size_t size);

// The value whose memory this one shares: reshape is a view.
uint32_t view_root(const Graph& graph, uint32_t value);

std::string shape_text(const Shape& shape);  // "[1, 64, 64, 768]"

}  // namespace ba_sam

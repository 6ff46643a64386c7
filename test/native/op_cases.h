// What the tests need of every op, declared from the list: each op defines it in native/ops/<op>/cases.cpp, and one that is
// missing is a link error. ops_test.cpp sees that none is empty.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "../../native/ops/op_view.h"
#include "reference.h"
#include "support.h"

namespace ba_sam::test {

class GraphMaker;  // random_graph.h

// A node with the elements of its inputs, to compute what it should give.
struct NodeValues : OpView {
  std::vector<const Array*> arrays;  // per input; null when absent

  NodeValues(const Graph& g, const Node& n, std::vector<const Array*> in) : OpView(g, n), arrays(std::move(in)) {}

  const Array& operator[](size_t i) const { return *arrays[i]; }
  // As many as the output has elements.
  Array zeros(size_t output = 0) const { return Array(static_cast<size_t>(out(output).elements())); }
};

// A change that makes valid_graph() broken, and a part of the message that says so.
struct BrokenCase {
  std::string expected;
  std::function<void(GraphSpec&)> change;
};

// Per op:
//   reference       the float64 loop, written from the formula: every output of the list, asked for or not; unrounded
//   valid_graph     one node with every optional operand there
//   append_random   one more node of the op, valid; it may come with others that feed it
//   broken_cases    of shapes, dtypes and attributes
#define OP(name, wire, Struct)                                    \
  std::vector<Array> reference(const NodeValues&, const Struct&); \
  GraphSpec valid_graph(const Struct&);                           \
  void append_random(GraphMaker&, const Struct&);                 \
  std::vector<BrokenCase> broken_cases(const Struct&);
#include "../../native/ops/ops.def"

// ---- of whatever op it is ----

// in: one array per input, null when absent.
inline std::vector<Array> reference(const Graph& graph, const Node& node, std::vector<const Array*> in) {
  const NodeValues values(graph, node, std::move(in));
  return std::visit([&](const auto& op) { return reference(values, op); }, node.op);
}
inline GraphSpec valid_graph(Op op) {
  return std::visit([](const auto& s) { return valid_graph(s); }, make_op(op));
}
inline std::vector<BrokenCase> broken_cases(Op op) {
  return std::visit([](const auto& s) { return broken_cases(s); }, make_op(op));
}

// ---- changes of a graph whose last node is the one to break; operands are meant by their enumerators ----

using Change = std::function<void(GraphSpec&)>;

inline Change both(Change a, Change b) {
  return [=](GraphSpec& s) { a(s), b(s); };
}
inline Change shape(size_t input, Shape to) {
  return [=](GraphSpec& s) { s.values[s.nodes.back().inputs[input]].shape = to; };
}
inline Change dtype(size_t input, DType to) {
  return [=](GraphSpec& s) { s.values[s.nodes.back().inputs[input]].dtype = static_cast<uint8_t>(to); };
}
inline Change absent(size_t input) {
  return [=](GraphSpec& s) { s.nodes.back().inputs[input] = kAbsent; };
}
inline Change out_shape(Shape to, size_t output = 0) {
  return [=](GraphSpec& s) { s.values[s.nodes.back().outputs[output]].shape = to; };
}
inline Change out_dtype(DType to, size_t output = 0) {
  return [=](GraphSpec& s) { s.values[s.nodes.back().outputs[output]].dtype = static_cast<uint8_t>(to); };
}
// Numbers or text in place of what the attribute was.
inline Change attribute(const char* name, std::variant<std::vector<double>, std::string> to) {
  return [=](GraphSpec& s) {
    for (Attribute& attribute : s.nodes.back().attributes) {
      if (attribute.name == name) attribute.value = to;
    }
  };
}
inline Change attribute(const char* name, double to) {
  return attribute(name, std::vector<double>{to});
}
inline Change attribute(const char* name, const char* to) {
  return attribute(name, std::string(to));
}

}  // namespace ba_sam::test

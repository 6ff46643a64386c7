// A node with its graph: what rules and kernel factories read off it. Operands are meant by their enumerators.
#pragma once

#include "../core/graph.h"

namespace ba_sam {

struct OpView {
  const Graph& graph;
  const Node& node;

  OpView(const Graph& g, const Node& n) : graph(g), node(n) {}

  bool has(size_t i) const { return node.has_input(i); }
  const Value& in(size_t i) const { return graph.input(node, i); }
  bool has_out(size_t i) const { return node.has_output(i); }
  const Value& out(size_t i = 0) const { return graph.output(node, i); }
};

// Rows of a tensor seen as a matrix: the product of all axes but the last.
inline int64_t rows_of(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

}  // namespace ba_sam

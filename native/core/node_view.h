// What the kernel factories of every backend read off a node, and the smallest kernel there is.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention_params.h"
#include "backend.h"

namespace ba_sam {

// A node with its graph and the weights of the model.
struct NodeView {
  const Graph& graph;
  const Node& node;
  WeightStore& weights;

  const Value& in(size_t i) const { return graph.input(node, i); }
  const Value& out() const { return graph.output(node); }
  bool has(size_t i) const { return node.has_input(i); }
  double attribute(size_t i) const { return node.attributes[i]; }
  int64_t integer(size_t i) const { return static_cast<int64_t>(node.attributes[i]); }
  // Whether input i is a weight, through reshapes.
  bool is_weight(size_t i) const { return root(i).kind == ValueKind::weight; }
  // Its name; throws SamError ERR_GRAPH when it is not a weight.
  const std::string& weight_name(size_t i) const {
    if (!is_weight(i)) {
      throw SamError("ERR_GRAPH", std::string("Expected input ") + std::to_string(i) + " of " +
                                      op_info(static_cast<uint8_t>(node.op)).name + " to be a weight");
    }
    return root(i).name;
  }

 private:
  const Value& root(size_t i) const { return graph.values[view_root(graph, node.inputs[i])]; }
};

// Whether a linear node rounds its operands to e4m3 (f8.h).
inline bool linear_is_f8(const Node& node) {
  return node.attributes.size() > 1 && node.attributes[1] != 0;
}

// gridAttention's shapes and settings; pointers, slopes included, are the backend's to set. What workspace it takes depends
// on which biases there are: relative positions get an address that says no more than that they will come.
inline AttentionParams grid_attention_params(const NodeView& n) {
  const Shape& qkv = n.in(0).shape;
  AttentionParams p;
  p.dtype = n.in(0).dtype;
  p.batch = qkv[0];
  p.heads = n.integer(0);
  p.head_dim = qkv[3] / 3 / p.heads;
  p.grid_h = qkv[1];
  p.grid_w = qkv[2];
  p.q_tokens = p.k_tokens = qkv[1] * qkv[2];
  p.window = n.integer(1);
  p.scale = static_cast<float>(n.attribute(2));
  p.metric = static_cast<DistanceMetric>(n.integer(3));
  p.start = static_cast<float>(n.attribute(4));
  static const float kLater = 0;
  if (n.has(1)) p.rel_h = p.rel_w = &kLater;
  return p;
}

// One per head; empty without a penalty.
inline std::vector<float> grid_attention_slopes(const NodeView& n) {
  std::vector<float> slopes;
  for (size_t i = 5; i < n.node.attributes.size(); ++i) slopes.push_back(static_cast<float>(n.attribute(i)));
  return slopes;
}

using KernelPtr = std::unique_ptr<Kernel>;

// Rows of a tensor seen as a matrix: the product of all axes but the last.
inline int64_t rows_of(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

// A kernel from a lambda, for ops that need no state of their own.
template <typename F>
class LambdaKernel final : public Kernel {
 public:
  explicit LambdaKernel(F f) : f_(std::move(f)) {}
  void run(const KernelIo& io) override { f_(io); }

 private:
  F f_;
};

template <typename F>
KernelPtr kernel(F f) {
  return std::make_unique<LambdaKernel<F>>(std::move(f));
}

}  // namespace ba_sam

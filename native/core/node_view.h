// What the kernel factories of every backend read off a node, and the smallest kernel there is.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../ops/op_view.h"
#include "backend.h"

namespace ba_sam {

// A node with its graph and the weights of the model.
struct NodeView : OpView {
  WeightStore& weights;

  NodeView(const Graph& g, const Node& n, WeightStore& w) : OpView(g, n), weights(w) {}

  // Whether input i is a frozen weight, through reshapes: a kernel may then keep a form of its own.
  bool is_weight(size_t i) const { return root(i).kind == ValueKind::weight; }
  // Its name; only where is_weight(i).
  const std::string& weight_name(size_t i) const { return root(i).name; }

 private:
  const Value& root(size_t i) const { return graph.values[view_root(graph, node.inputs[i])]; }
};

using KernelPtr = std::unique_ptr<Kernel>;

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

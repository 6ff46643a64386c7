// The rule of an op: shapes, dtypes and attributes of a node against what it declares. Graphs are untrusted: kernels rely
// on these checks instead of checking again. Each op has its own in native/ops/<op>/rule.cpp.
#pragma once

#include <string>

#include "op_view.h"

namespace ba_sam {

constexpr int64_t kMaxSide = int64_t{1} << 20;  // of images and grids

// One node under check; every failure is SamError ERR_GRAPH that names the op and its place in the graph. Operands are
// meant by their enumerators (LinearOp::weight) and named as in the list.
class Rule : public OpView {
 public:
  using OpView::OpView;

  [[noreturn]] void fail(const std::string& message) const;
  void require(bool condition, const std::string& expectation) const {
    if (!condition) fail("expected " + expectation);
  }

  const Shape& shape(size_t i) const { return in(i).shape; }
  DType dtype(size_t i) const { return in(i).dtype; }

  void expect_float(size_t i) const;  // f32, bf16 or f16
  void expect_dtype(size_t i, DType expected) const;
  void expect_rank(size_t i, size_t rank) const;
  void expect_nonempty(size_t i) const;  // no dimension of 0
  void expect_shape(size_t i, const Shape& expected) const;
  void expect_vector(size_t i, int64_t length) const;  // f32 [length]: biases, norm weights
  void expect_out(const Shape& expected, size_t output = 0) const;
  void expect_out_dtype(DType expected, size_t output = 0) const;
  void expect_float_out() const;
  void expect_wide_out(size_t i) const;  // the dtype of input i, or f32

  // Convolutions: an image x [B, H, W, C] of floats and a weight of rank 4 and the same dtype.
  void expect_image_and_weight(size_t x, size_t weight) const;
  void expect_image_sides(size_t x) const;  // at most kMaxSide
  // A kernel [O, …, kh, kw] that slides over x with zero padding, and bias [O]: the output is [B, H', W', O].
  void expect_sliding_kernel(size_t x, size_t weight, size_t bias, int64_t stride, int64_t padding) const;

  void between(int64_t value, int64_t low, int64_t high, const char* what) const;
  // Channels per head, 1 … 256; `heads` divides the channels.
  int64_t head_dim(int64_t channels, int64_t heads) const;

 private:
  std::string name(size_t i) const;
};

// Per op, in its rule.cpp: `check` throws; `flops` are the multiply-adds × 2 of its products and convolutions.
#define OP(name, wire, Struct)            \
  void check(const Rule&, const Struct&); \
  double flops(const OpView&, const Struct&);
#include "ops.def"

// Of whatever op the node is.
void check_node(const Graph& graph, const Node& node);
double node_flops(const Graph& graph, const Node& node);
// flops plus what moving the output costs: for progress only.
double node_cost(const Graph& graph, const Node& node);

}  // namespace ba_sam

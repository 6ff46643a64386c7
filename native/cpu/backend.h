// The CPU backend: one factory per op, chosen by the table in backend.cpp.
#pragma once

#include <memory>

#include "../core/backend.h"
#include "attention/attention.h"

namespace ba_sam::cpu {

// What a factory gets to work with.
struct KernelContext {
  const Graph& graph;
  const Node& node;
  WeightStore& weights;
  int threads;
  Isa isa;

  const Value& in(size_t i) const { return graph.input(node, i); }
  const Value& out() const { return graph.output(node); }
  bool has(size_t i) const { return node.has_input(i); }
  double attribute(size_t i) const { return node.attributes[i]; }
  int64_t integer(size_t i) const { return static_cast<int64_t>(node.attributes[i]); }
  // The name of weight input i, through reshapes; throws SamError ERR_GRAPH when it is not a weight.
  const std::string& weight_name(size_t i) const;
};

using KernelPtr = std::unique_ptr<Kernel>;

// Rows of a tensor seen as a matrix: the product of all axes but the last.
inline int64_t rows_of(const Shape& shape) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

// matrix.cpp: oneDNN
KernelPtr make_linear(const KernelContext&);
KernelPtr make_matmul(const KernelContext&);
KernelPtr make_patch_embed(const KernelContext&);
KernelPtr make_conv_transpose2d(const KernelContext&);
KernelPtr make_conv2d(const KernelContext&);
// attention_ops.cpp
KernelPtr make_grid_attention(const KernelContext&);
KernelPtr make_attention(const KernelContext&);
// pointwise.cpp
KernelPtr make_layer_norm(const KernelContext&);
KernelPtr make_add(const KernelContext&);
KernelPtr make_concat(const KernelContext&);
KernelPtr make_slice(const KernelContext&);
KernelPtr make_transpose(const KernelContext&);
KernelPtr make_cast(const KernelContext&);
// encoding.cpp
KernelPtr make_point_encoding(const KernelContext&);
KernelPtr make_grid_encoding(const KernelContext&);
KernelPtr make_resize_positions(const KernelContext&);
KernelPtr make_resize_rel_pos(const KernelContext&);
KernelPtr make_upsample_masks(const KernelContext&);

// threads: the size of the OpenMP team; 0 = that of the thread which prepares plans. Kernels throw SamError
// ERR_DEVICE_UNAVAILABLE when a graph uses f16, or bf16 on a processor without AVX-512 (oneDNN 2.6 has no bf16 products
// there).
std::shared_ptr<Backend> make_cpu_backend(int threads = 0);

// Empty when graphs and attention may use the dtype, otherwise the reason.
std::string unavailable_reason(DType dtype);

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

}  // namespace ba_sam::cpu

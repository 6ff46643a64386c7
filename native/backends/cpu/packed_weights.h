// A weight in oneDNN's blocked layout: packed once per model, shared by every plan.
#pragma once

#include <memory>

#include "../../core/weights.h"
#include "dnnl_compat.h"

namespace ba_sam::cpu {

struct PackedWeights final : PackedTensor {
  dnnl::memory memory;            // blocked
  dnnl::memory::desc plain_desc;  // how the plain tensor's bytes are laid out
  DType dtype = DType::f32;
  Shape shape;  // of the plain tensor

  size_t bytes() const override { return memory.get_desc().get_size(); }
  std::shared_ptr<const Tensor> unpack() const override;
};

// Reorders `plain` (bytes laid out as plain_desc) into `target`.
std::shared_ptr<PackedWeights> pack_weights(const void* plain, const dnnl::memory::desc& plain_desc,
                                            const dnnl::memory::desc& target);

// Row-major [N, K] as the matrix [K, N] of a product.
std::shared_ptr<PackedWeights> pack_linear(const void* plain, DType dtype, int64_t n, int64_t k);

// Weight [N, K] of a linear layer as the matrix [K, N] of a product. The blocked format is chosen once, for many
// rows; oneDNN's choice depends on K, N and the processor, hardly on the rows.
std::shared_ptr<const PackedWeights> packed_linear(WeightStore& weights, const std::string& name, DType dtype,
                                                   int64_t n, int64_t k);

}  // namespace ba_sam::cpu

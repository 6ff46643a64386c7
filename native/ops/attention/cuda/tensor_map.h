// Tensor maps (CUtensorMap): descriptions of tensors for the tensor memory accelerator (TMA) of sm_90.
#pragma once

#include "../../../backends/cuda/hopper.h"
#include "../../../core/tensor.h"

namespace ba_sam::cuda {

constexpr int kMaxTensorRank = 5;

// A tensor of 16-bit numbers at `data` (16-byte aligned), innermost dimension first. strides[i]: elements from one index of
// dimension i to the next, multiples of 8; strides[0] is 1. box: what one copy brings, each side at most 256; its rows fill
// the swizzle's length or less. Elements outside the tensor arrive as zeros.
struct TensorShape {
  const void* data = nullptr;
  int rank = 0;
  int64_t sizes[kMaxTensorRank] = {};
  int64_t strides[kMaxTensorRank] = {};
  int box[kMaxTensorRank] = {};
  Swizzle swizzle = Swizzle::bytes_128;
};

// Whether the driver can encode tensor maps (CUDA 12.0 and later).
bool have_tensor_maps();

// Host only, about a microsecond. Throws SamError ERR_INTERNAL with everything that was asked for when the driver refuses.
TensorMap make_tensor_map(DType dtype, const TensorShape& shape);

}  // namespace ba_sam::cuda

// What the factories of the ops share, and their list.
#pragma once

#include <algorithm>

#include "../../core/node_view.h"
#include "backend.h"

namespace ba_sam::cuda {

// What a factory gets to work with.
struct KernelContext : NodeView {
  CudaBackend& backend;
};

// layer_norm.cu
KernelPtr make_layer_norm(const KernelContext&);
// pointwise.cu
KernelPtr make_add(const KernelContext&);
KernelPtr make_concat(const KernelContext&);
KernelPtr make_slice(const KernelContext&);
KernelPtr make_transpose(const KernelContext&);
KernelPtr make_cast(const KernelContext&);
// matrix.cu
KernelPtr make_linear(const KernelContext&);
KernelPtr make_matmul(const KernelContext&);
KernelPtr make_conv2d(const KernelContext&);
KernelPtr make_conv_transpose2d(const KernelContext&);
KernelPtr make_patch_embed(const KernelContext&);
// linear_f8.cu
KernelPtr make_linear_f8(const KernelContext&);
// attention_ops.cpp
KernelPtr make_grid_attention(const KernelContext&);
KernelPtr make_attention(const KernelContext&);
// encoding.cu
KernelPtr make_point_encoding(const KernelContext&);
KernelPtr make_grid_encoding(const KernelContext&);
KernelPtr make_resize_positions(const KernelContext&);
KernelPtr make_resize_rel_pos(const KernelContext&);
// upsample_masks.cu
KernelPtr make_upsample_masks(const KernelContext&);

}  // namespace ba_sam::cuda

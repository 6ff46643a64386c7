// The CPU backend: one factory per op, chosen by the table in backend.cpp.
#pragma once

#include <memory>

#include "../../core/node_view.h"
#include "../../ops/attention/cpu/attention.h"

namespace ba_sam::cpu {

// What a factory gets to work with.
struct KernelContext : NodeView {
  int threads;
  Isa isa;
};

// matrix.cpp: oneDNN
KernelPtr make_linear(const KernelContext&);
KernelPtr make_matmul(const KernelContext&);
KernelPtr make_patch_embed(const KernelContext&);
KernelPtr make_conv_transpose2d(const KernelContext&);
KernelPtr make_conv2d(const KernelContext&);
// linear_f8.cpp
KernelPtr make_linear_f8(const KernelContext&);
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

}  // namespace ba_sam::cpu

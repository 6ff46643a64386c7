// Fused attention with SAM's decomposed relative positions and BA-SAM's scale and distance penalty, on CUDA devices.
// core/attention_params.h has the formula; every pointer is a device pointer.
//
// bf16 and f16 run on tensor cores (mma.sync, sm_80 and later) for D = 16, 32, 64, 80, 128; f32 in true f32 for D up to 128.
// No [N, N] buffer exists, and no [N, Gh + Gw] one either: relative positions are made inside the kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "../../../core/attention_params.h"

namespace ba_sam::cuda {

// Bytes that attention_forward needs at `workspace` (256-byte aligned). Depends on shapes, and on which biases there are.
size_t attention_workspace_bytes(const AttentionParams& params);

// out: element (b, token, head, d) at out[b·out_batch_stride + token·out_token_stride + head·D + d], dtype as q. Operands of
// 16-bit dtypes must be 16-byte aligned, with strides that are multiples of 8, one token stride for k and v. Queues kernels on `stream` and returns.
// Deterministic. Throws SamError ERR_INVALID_ARGUMENT for a dtype, head size or alignment that no kernel takes.
void attention_forward(void* out, int64_t out_batch_stride, int64_t out_token_stride, const TokenView& q,
                       const TokenView& k, const TokenView& v, const AttentionParams& params, void* workspace,
                       cudaStream_t stream);

}  // namespace ba_sam::cuda

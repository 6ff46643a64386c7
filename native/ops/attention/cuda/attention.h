// Fused attention with SAM's decomposed relative positions and BA-SAM's scale and distance penalty, on CUDA devices.
// ../params.h has the formula; every pointer is a device pointer.
//
// bf16 and f16 run on tensor cores (mma.sync, sm_80 and later) for D = 16, 32, 64, 80, 128; f32 in true f32 for D up to 128.
// No [N, N] buffer exists, and no [N, Gh + Gw] one either: relative positions are made inside the kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

#include "../params.h"

namespace ba_sam::cuda {

// Bytes that attention_forward needs at params.workspace (256-byte aligned), whatever outputs are asked for. Depends on shapes
// and settings alone.
size_t attention_workspace_bytes(const AttentionParams& params);

// Everything but the stream is in the struct. 16-bit operands must be 16-byte aligned, with strides that are multiples of 8
// and one token stride for k and v. Queues kernels on `stream` and returns. Deterministic. Throws SamError
// ERR_INVALID_ARGUMENT for what attention_problem() refuses, and for a dtype, head size or alignment that no kernel takes.
void attention_forward(const AttentionParams& params, cudaStream_t stream);

}  // namespace ba_sam::cuda

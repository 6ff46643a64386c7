// The attention kernels for sm_90a: what they take, and starting them. hopper_kernel.h and hopper_window.h have the kernels.
#pragma once

#include <cuda_runtime.h>

#include "../../../core/attention_params.h"

namespace ba_sam::cuda {

// What of the kernel's two ways to hide the softmax is in use; the others are there to be measured against. cluster: both,
// with keys and values brought to two blocks at a time. three: turns of three warpgroups.
enum class HopperSchedule { overlap_and_turns, overlap, turns, cluster, three };

// One attention call, as attention_forward (attention.h) gets it, with operands that it has checked.
struct HopperCall {
  AttentionParams params;
  TokenView q, k, v;
  void* out;
  int64_t out_batch_stride, out_token_stride;
  void* workspace;
};

// Bytes of workspace in case the kernel is chosen, whatever the device: rounded tables.
size_t hopper_workspace_bytes(const AttentionParams& params);

// Whether this build and the current device have the kernel.
bool have_hopper_attention();
// Whether it computes these: 16-bit, D = 64 or 80, a positive scale; windows of 14; Euclidean and Chebyshev penalties on
// grids a multiple of 64 wide; without any bias a multiple of 128 keys.
bool hopper_takes(const AttentionParams& params);
// Whether it should be chosen over mma.sync: enough keys, and strips that do not waste much of a row.
bool hopper_pays(const AttentionParams& params);

void hopper_forward(const HopperCall& call, HopperSchedule schedule, cudaStream_t stream);

}  // namespace ba_sam::cuda

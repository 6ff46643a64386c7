// The attention kernels for sm_90a: what they take, and starting them. hopper_kernel.h and hopper_window.h have the kernels.
#pragma once

#include <cuda_runtime.h>

#include "../params.h"

namespace ba_sam::cuda {

// How the kernel for global attention hides its softmax behind wgmma. FlashAttention-3's names:
//   ping-pong scheduling     consumer warpgroups issue their wgmmas alternately, so that one's softmax runs beside another's
//   intra-warpgroup overlap  a warpgroup's softmax runs beside its own P · V of the tile before
enum class HopperSchedule { pingpong_and_intra_warpgroup, intra_warpgroup, pingpong, cluster, three_consumers };

struct HopperScheduleRow {
  const char* name;  // value of BA_SAM_CUDA_ATTENTION
  HopperSchedule schedule;
  const char* purpose;
};

// All there are. The first row is what the library chooses; the others are reached by the variable alone and stay until a GPU
// has decided between them. Where one has no kernel (hopper_instances.h), the first row's serves. test/cuda/build.test.ts
// compares scripts/gpu_steps.py and docs/cuda.md with this table.
inline constexpr HopperScheduleRow kHopperSchedules[] = {
    {"hopper", HopperSchedule::pingpong_and_intra_warpgroup,
     "ping-pong scheduling of two consumer warpgroups, and intra-warpgroup overlap"},
    {"hopper-intra-warpgroup", HopperSchedule::intra_warpgroup,
     "without ping-pong scheduling, to measure what that gains"},
    {"hopper-pingpong", HopperSchedule::pingpong, "without intra-warpgroup overlap, to measure what that gains"},
    {"hopper-cluster", HopperSchedule::cluster,
     "as hopper, in clusters of two thread blocks with multicast of keys and values: half the reads from L2"},
    {"hopper-three-consumers", HopperSchedule::three_consumers,
     "ping-pong scheduling of three consumer warpgroups, 192 queries a block: two thirds of the reads from L2"},
};

// Bytes of workspace in case the kernel is chosen, whatever the device: rounded tables.
size_t hopper_workspace_bytes(const AttentionParams& params);

// Whether this build and the current device have the kernel.
bool have_hopper_attention();
// Whether it computes these: 16-bit, D = 64 or 80, a positive scale; windows of 14; Euclidean and Chebyshev penalties on
// grids at least 64 wide; without any bias a multiple of 128 keys; no log_sum_exp.
bool hopper_takes(const AttentionParams& params);
// Whether it should be chosen over mma.sync: enough keys, and strips that do not waste much of a row.
bool hopper_pays(const AttentionParams& params);

// Of what it takes, with operands that attention_forward (attention.h) has checked.
void hopper_forward(const AttentionParams& params, HopperSchedule schedule, cudaStream_t stream);

}  // namespace ba_sam::cuda

// Starting the attention kernels: one function per head size, each in a source of its own, so that they compile in parallel.
#pragma once

#include "../../../core/tensor.h"
#include "f32_kernel.h"
#include "tile.h"

namespace ba_sam::cuda {

// What is known before a kernel is chosen.
struct MmaProblem {
  MmaArguments arguments;
  DType dtype;  // bf16 or f16
  ScoreBias bias;
  int64_t rectangles;       // images × windows × heads
  int shared_bytes_per_sm;  // of the device
  int rows_per_warp;        // queries: 16 or 32, or 0 to choose
};

// Fill in what depends on the tile (q_tiles) and queue one kernel. Defined for D = 16, 32, 64, 80, 128.
template <int D>
void launch_mma(MmaProblem problem, cudaStream_t stream);

// splits > 1: arguments.partial holds f32_partial_bytes(); a second kernel merges them.
template <int D>
void launch_f32(F32Arguments arguments, int64_t rectangles, int splits, cudaStream_t stream);

}  // namespace ba_sam::cuda

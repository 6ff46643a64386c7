// Starting the sm_90a kernels: one function per head size, each in a source of its own.
#pragma once

#include "../../../core/tensor.h"
#include "hopper_attention.h"
#include "hopper_tile.h"
#include "hopper_window.h"
#include "tensor_map.h"

namespace ba_sam::cuda {

struct HopperProblem {
  HopperArguments arguments;  // but q_tiles and work_tiles
  DType dtype;                // bf16 or f16
  ScoreBias bias;
  int strip;
  HopperSchedule schedule;
  int64_t images;
  int multiprocessors;
};

struct HopperWindowProblem {
  HopperWindowArguments arguments;  // but work_tiles
  DType dtype;
  int64_t images;
  int multiprocessors;
};

// Defined for D = 64 and 80.
template <int D>
void launch_hopper(HopperProblem problem, cudaStream_t stream);
template <int D>
void launch_hopper_window(HopperWindowProblem problem, cudaStream_t stream);

// out[i] = in[i], rounded to nearest even.
void round_table(void* out, const float* in, int64_t count, DType dtype, cudaStream_t stream);
// The table of the window kernel, [kWindowTable][head_dim], from two of 27 rows.
void round_window_tables(void* out, const float* rel_h, const float* rel_w, int head_dim, DType dtype,
                         cudaStream_t stream);

}  // namespace ba_sam::cuda

// launch_mma for one head size: every dtype, bias and tile shape. Included by mma_d*.cu, each of which instantiates one D.
#pragma once

#include "../../../backends/cuda/runtime.h"
#include "launch.h"
#include "mma_kernel.h"

namespace ba_sam::cuda {

template <typename T, int D, ScoreBias kBias, typename TileT>
void launch_mma_kernel(const MmaProblem& problem, cudaStream_t stream) {
  MmaArguments a = problem.arguments;
  a.q_tiles = ceil_div(a.q_count, TileT::kQueries);
  const int64_t blocks = problem.rectangles * a.q_tiles;
  if (blocks > INT32_MAX) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected attention in at most 2^31 blocks but it takes " + std::to_string(blocks));
  }
  launch("attention", &mma_attention<T, D, kBias, TileT>, dim3(static_cast<unsigned>(blocks)), dim3(TileT::kThreads),
         shared_bytes<D, kBias, TileT>(), stream, a);
}

// Two mma tiles of queries a warp halve what is read from shared memory for each product. They pay where blocks of twice the
// size still fill a card, and where two such blocks fit into an SM. BA_SAM_CUDA_ATTENTION_ROWS=16 or 32 decides otherwise.
template <int D, ScoreBias kBias, typename TileT>
bool tall_tiles_pay(const MmaProblem& problem) {
  if (problem.rows_per_warp != 0) return problem.rows_per_warp == 32;
  constexpr int64_t kBlocks = 256;
  return problem.rectangles * ceil_div(problem.arguments.q_count, TileT::kQueries) >= kBlocks &&
         2 * (shared_bytes<D, kBias, TileT>() + 1024) <= problem.shared_bytes_per_sm;
}

// The tile shapes that exist: 32 queries a warp only where that needs no spills.
template <typename T, int D, ScoreBias kBias>
void launch_mma_tile(const MmaProblem& problem, cudaStream_t stream) {
  const MmaArguments& a = problem.arguments;
  if constexpr (kBias == ScoreBias::none) {
    if constexpr (D <= 80) {
      if (tall_tiles_pay<D, kBias, Tile<1, 2>>(problem))
        return launch_mma_kernel<T, D, kBias, Tile<1, 2>>(problem, stream);
    }
    launch_mma_kernel<T, D, kBias, Tile<1, 1>>(problem, stream);
  } else {
    if (a.window > 0 || narrow_tiles_pay(a.rows, a.columns)) {
      return launch_mma_kernel<T, D, kBias, Tile<4, 1>>(problem, stream);
    }
    if constexpr (kBias == ScoreBias::separable && D <= 80) {
      if (tall_tiles_pay<D, kBias, Tile<2, 2>>(problem))
        return launch_mma_kernel<T, D, kBias, Tile<2, 2>>(problem, stream);
    }
    launch_mma_kernel<T, D, kBias, Tile<2, 1>>(problem, stream);
  }
}

template <typename T, int D>
void launch_mma_bias(const MmaProblem& problem, cudaStream_t stream) {
  switch (problem.bias) {
    case ScoreBias::none:
      return launch_mma_tile<T, D, ScoreBias::none>(problem, stream);
    case ScoreBias::separable:
      return launch_mma_tile<T, D, ScoreBias::separable>(problem, stream);
    case ScoreBias::distance:
      return launch_mma_tile<T, D, ScoreBias::distance>(problem, stream);
  }
}

template <int D>
void launch_mma(MmaProblem problem, cudaStream_t stream) {
  if (problem.dtype == DType::bf16) return launch_mma_bias<bf16, D>(problem, stream);
  launch_mma_bias<f16, D>(problem, stream);
}

}  // namespace ba_sam::cuda

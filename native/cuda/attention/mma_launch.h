// launch_mma for one head size: every dtype, bias and tile shape. Included by mma_d*.cu, each of which instantiates one D.
#pragma once

#include "../runtime.h"
#include "launch.h"
#include "mma_kernel.h"

namespace ba_sam::cuda {

template <typename T, int D, ScoreBias kBias, typename TileT>
void launch_mma_kernel(const MmaProblem& problem, cudaStream_t stream) {
  MmaArguments a = problem.arguments;
  a.q_tiles = ceil_div(a.q_count, TileT::kQueries);
  const int64_t blocks = problem.rectangles * a.q_tiles;
  if (blocks > INT32_MAX) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected attention in at most 2^31 blocks but it takes " + std::to_string(blocks));
  }
  launch("attention", &mma_attention<T, D, kBias, TileT>, dim3(static_cast<unsigned>(blocks)), dim3(TileT::kThreads),
         shared_bytes<D, kBias, TileT>(), stream, a);
}

template <typename T, int D, ScoreBias kBias>
void launch_mma_tile(const MmaProblem& problem, cudaStream_t stream) {
  const MmaArguments& a = problem.arguments;
  if constexpr (kBias == ScoreBias::none) {
    launch_mma_kernel<T, D, kBias, Tile<1, 1>>(problem, stream);
  } else if (a.window > 0 || narrow_tiles_pay(a.rows, a.columns)) {
    launch_mma_kernel<T, D, kBias, Tile<4, 1>>(problem, stream);
  } else {
    launch_mma_kernel<T, D, kBias, Tile<1, 1>>(problem, stream);
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

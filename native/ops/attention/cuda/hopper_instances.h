// launch_hopper for one head size. Included by hopper_d*_sm90.cu, each of which instantiates one D.
#pragma once

#include <algorithm>

#include "../../../backends/cuda/cluster_launch.h"
#include "hopper_kernel.h"
#include "hopper_launch.h"

namespace ba_sam::cuda {

template <typename T, int D, ScoreBias kBias, typename Config>
void launch_hopper_kernel(const HopperProblem& problem, cudaStream_t stream) {
  HopperArguments a = problem.arguments;
  a.q_tiles = ceil_div(a.q_count, HopperTileScheduler<Config>::kQueries);
  a.work_tiles = problem.images * a.heads * a.q_tiles;
  const int64_t side_by_side = std::max(problem.multiprocessors / Config::kCluster, 1);
  const auto blocks = static_cast<unsigned>(std::min(a.work_tiles, side_by_side)) * Config::kCluster;
  launch_in_clusters("attention", &hopper_mma_attention<T, D, kBias, Config>, dim3(blocks), dim3(Config::kThreads),
                     HopperShared<D, Config>::kBytes, Config::kCluster, stream, a);
}

// Clusters exist for bf16 (in_clusters in hopper_attention.cpp), to be measured.
template <typename T, int D, ScoreBias kBias, int kStrip>
void launch_hopper_strip(const HopperProblem& problem, cudaStream_t stream) {
  if constexpr (std::is_same_v<T, bf16>) {
    if (problem.schedule == HopperSchedule::cluster) {
      return launch_hopper_kernel<T, D, kBias, HopperClusterConfig<kStrip>>(problem, stream);
    }
  }
  launch_hopper_kernel<T, D, kBias, HopperConfig<kStrip, 2, true, true>>(problem, stream);
}

// Other schedules than the default one exist for bf16 on strips of 64, to be measured.
template <typename T, int D, ScoreBias kBias>
void launch_hopper_schedule(const HopperProblem& problem, cudaStream_t stream) {
  if constexpr (std::is_same_v<T, bf16>) {
    if (problem.schedule == HopperSchedule::intra_warpgroup) {
      return launch_hopper_kernel<T, D, kBias, HopperConfig<64, 2, true, false>>(problem, stream);
    }
    if (problem.schedule == HopperSchedule::pingpong) {
      return launch_hopper_kernel<T, D, kBias, HopperConfig<64, 2, false, true>>(problem, stream);
    }
    if constexpr (D == 64) {  // for D = 80 it spills
      if (problem.schedule == HopperSchedule::three_consumers) {
        return launch_hopper_kernel<T, D, kBias, HopperConfig<64, 3, false, true>>(problem, stream);
      }
    }
  }
  launch_hopper_strip<T, D, kBias, 64>(problem, stream);
}

// On grids whose rows are whole numbers of 64 queries, each warpgroup has its queries in one of them.
template <typename T, int D>
void launch_hopper_distance(const HopperProblem& problem, cudaStream_t stream) {
  constexpr ScoreBias kBias = ScoreBias::distance;
  if (problem.arguments.columns % kGroupQueries == 0) return launch_hopper_schedule<T, D, kBias>(problem, stream);
  switch (problem.strip) {
    case 40:
      return launch_hopper_kernel<T, D, kBias, HopperConfig<40, 2, true, true, true>>(problem, stream);
    case 48:
      return launch_hopper_kernel<T, D, kBias, HopperConfig<48, 2, true, true, true>>(problem, stream);
    case 56:
      return launch_hopper_kernel<T, D, kBias, HopperConfig<56, 2, true, true, true>>(problem, stream);
    default:
      return launch_hopper_kernel<T, D, kBias, HopperConfig<64, 2, true, true, true>>(problem, stream);
  }
}

template <typename T, int D>
void launch_hopper_bias(const HopperProblem& problem, cudaStream_t stream) {
  if (problem.bias == ScoreBias::none) return launch_hopper_schedule<T, D, ScoreBias::none>(problem, stream);
  if (problem.bias == ScoreBias::distance) return launch_hopper_distance<T, D>(problem, stream);
  switch (problem.strip) {
    case 40:
      return launch_hopper_strip<T, D, ScoreBias::separable, 40>(problem, stream);
    case 48:
      return launch_hopper_strip<T, D, ScoreBias::separable, 48>(problem, stream);
    case 56:
      return launch_hopper_strip<T, D, ScoreBias::separable, 56>(problem, stream);
    default:
      return launch_hopper_schedule<T, D, ScoreBias::separable>(problem, stream);
  }
}

template <int D>
void launch_hopper_window(HopperWindowProblem problem, cudaStream_t stream) {
  HopperWindowArguments& a = problem.arguments;
  a.work_tiles = problem.images * a.windows * a.heads;
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>(a.work_tiles, problem.multiprocessors))), block(384);
  constexpr int kBytes = HopperWindowShared<D>::kBytes;
  if (problem.dtype == DType::bf16) {
    launch("attention", &hopper_mma_window_attention<bf16, D>, grid, block, kBytes, stream, a);
  } else {
    launch("attention", &hopper_mma_window_attention<f16, D>, grid, block, kBytes, stream, a);
  }
}

template <int D>
void launch_hopper(HopperProblem problem, cudaStream_t stream) {
  if (problem.dtype == DType::bf16) return launch_hopper_bias<bf16, D>(problem, stream);
  launch_hopper_bias<f16, D>(problem, stream);
}

}  // namespace ba_sam::cuda

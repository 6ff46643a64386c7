// Starting kernels in clusters: blocks that run at the same time and reach each other's shared memory (hopper.h).
#pragma once

#include "runtime.h"

namespace ba_sam::cuda {

// As launch() (runtime.h), with `cluster` consecutive blocks of the grid's x to a cluster; it divides grid.x. 1: no clusters.
template <typename... Params, typename... Args>
void launch_in_clusters(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                        unsigned cluster, cudaStream_t stream, Args&&... args) {
  if (cluster == 1) return launch(name, kernel, grid, block, shared_bytes, stream, std::forward<Args>(args)...);
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shared_bytes)),
        name);
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster, 1, 1};
  const cudaLaunchConfig_t config = {grid, block, shared_bytes, stream, &attribute, 1};
  check(cudaLaunchKernelEx(&config, kernel, Params(std::forward<Args>(args))...), name);
}

}  // namespace ba_sam::cuda

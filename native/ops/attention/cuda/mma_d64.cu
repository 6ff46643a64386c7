// Tensor-core attention for head size 64.
#include "mma_launch.h"

namespace ba_sam::cuda {
template void launch_mma<64>(MmaProblem, cudaStream_t);
}

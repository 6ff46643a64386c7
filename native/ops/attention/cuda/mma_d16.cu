// Tensor-core attention for head size 16.
#include "mma_launch.h"

namespace ba_sam::cuda {
template void launch_mma<16>(MmaProblem, cudaStream_t);
}

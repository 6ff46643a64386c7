// Tensor-core attention for head size 32.
#include "mma_launch.h"

namespace ba_sam::cuda {
template void launch_mma<32>(MmaProblem, cudaStream_t);
}

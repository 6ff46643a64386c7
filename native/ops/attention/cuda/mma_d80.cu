// Tensor-core attention for head size 80.
#include "mma_launch.h"

namespace ba_sam::cuda {
template void launch_mma<80>(MmaProblem, cudaStream_t);
}

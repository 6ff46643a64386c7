// Tensor-core attention for head size 128.
#include "mma_launch.h"

namespace ba_sam::cuda {
template void launch_mma<128>(MmaProblem, cudaStream_t);
}

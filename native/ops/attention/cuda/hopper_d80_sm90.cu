// Tensor-core attention for head size 80, sm_90a.
#include "hopper_instances.h"

namespace ba_sam::cuda {
template void launch_hopper<80>(HopperProblem, cudaStream_t);
template void launch_hopper_window<80>(HopperWindowProblem, cudaStream_t);
}  // namespace ba_sam::cuda

// Tensor-core attention for head size 64, sm_90a.
#include "hopper_instances.h"

namespace ba_sam::cuda {
template void launch_hopper<64>(HopperProblem, cudaStream_t);
template void launch_hopper_window<64>(HopperWindowProblem, cudaStream_t);
}  // namespace ba_sam::cuda

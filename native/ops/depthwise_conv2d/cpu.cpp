// depthwiseConv2d on the CPU, by oneDNN: as many groups as channels.
#include "../../backends/cpu/convolution.h"

namespace ba_sam::cpu {

KernelPtr make_kernel(const KernelContext& c, const DepthwiseConv2dOp& op) {
  return make_convolution(c, {c.in(DepthwiseConv2dOp::x).shape[3], op.stride, op.padding, op.activation});
}

}  // namespace ba_sam::cpu

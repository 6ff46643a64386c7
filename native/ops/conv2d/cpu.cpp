// conv2d on the CPU, by oneDNN.
#include "../../backends/cpu/convolution.h"

namespace ba_sam::cpu {

KernelPtr make_kernel(const KernelContext& c, const Conv2dOp& op) {
  return make_convolution(c, {1, op.stride, op.padding, op.activation});
}

}  // namespace ba_sam::cpu

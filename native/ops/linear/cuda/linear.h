// The kernels of linear on CUDA.
#pragma once

#include "../../../backends/cuda/product_parts.h"

namespace ba_sam::cuda {

// f8.cu
KernelPtr make_linear_f8(const KernelContext& c, const LinearOp& op);

}  // namespace ba_sam::cuda

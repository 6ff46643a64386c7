// The kernels of linear on the CPU.
#pragma once

#include "../../../backends/cpu/backend.h"
#include "../../../backends/cpu/product.h"

namespace ba_sam::cpu {

// f8.cpp
KernelPtr make_linear_f8(const KernelContext& c, const LinearOp& op);

}  // namespace ba_sam::cpu

// The attention kernels in plain C++, for processors without AVX2.
#include "tiling.h"

namespace ba_sam::cpu {
namespace {
#include "../../../backends/cpu/simd/scalar.h"
}  // namespace
}  // namespace ba_sam::cpu

#include "kernel_strip.h"

namespace ba_sam::cpu {

KernelTable scalar_kernels(DType dtype) {
  return dtype == DType::bf16 ? kernel_table<ElemBf16>() : kernel_table<ElemF32>();
}

}  // namespace ba_sam::cpu

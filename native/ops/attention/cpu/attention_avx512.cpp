// The attention kernels in AVX-512.
//
// Everything the kernels call lies between the pragma and the end of this file, in an unnamed namespace, and every
// standard header comes before it: no function that another file could share is compiled for this processor.
#include "tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
// GCC 12 takes the "undefined" operand of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

namespace ba_sam::cpu {
namespace {
#include "../../../backends/cpu/simd/avx512.h"
typedef Avx512 Simd;
}  // namespace
}  // namespace ba_sam::cpu

#include "kernel_strip.h"

namespace ba_sam::cpu {

KernelTable avx512_kernels(DType dtype) {
  return dtype == DType::bf16 ? kernel_table<ElemBf16>() : kernel_table<ElemF32>();
}

}  // namespace ba_sam::cpu

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else

namespace ba_sam::cpu {

KernelTable avx512_kernels(DType) {
  return KernelTable{};
}

}  // namespace ba_sam::cpu
#endif

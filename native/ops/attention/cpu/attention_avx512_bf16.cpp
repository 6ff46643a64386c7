// The bf16 attention kernels in AVX-512 with vdpbf16ps.
//
// Everything the kernels call lies between the pragma and the end of this file, in an unnamed namespace, and every
// standard header comes before it: no function that another file could share is compiled for this processor.
#include "tiling.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), \
                             apply_to = function)
#else
// GCC 12 takes the "undefined" operand of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#endif

namespace ba_sam::cpu {
namespace {
#include "../../../backends/cpu/simd/avx512_bf16.h"
}  // namespace
}  // namespace ba_sam::cpu

#include "kernel_strip.h"

namespace ba_sam::cpu {

KernelTable avx512_bf16_kernels() {
  return kernel_table<ElemBf16>();
}

}  // namespace ba_sam::cpu

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else

namespace ba_sam::cpu {

KernelTable avx512_bf16_kernels() {
  return KernelTable{};
}

}  // namespace ba_sam::cpu
#endif

// Eight 16-bit floats at a time, as the products of tensor cores need them. Internal to the executor.
#pragma once

#include "../../native/backends/cuda/primitives.h"
#include "executor.h"

namespace ba_sam::emulation {
namespace {  // compiled with the instruction set of each user

using cuda::bf16;
using cuda::f16;

// Eight numbers of a row: one register with AVX2, two without; the results are the same.
typedef float Floats __attribute__((vector_size(32)));
typedef uint32_t Words __attribute__((vector_size(32)));

BA_SAM_UNCHECKED inline __attribute__((always_inline)) Floats low_half(Words pairs, bf16) {
  return (Floats)(pairs << 16);
}
// The exponent's bias changes by a product, which also makes subnormal numbers normal; infinity and NaN stay what they are.
BA_SAM_UNCHECKED inline __attribute__((always_inline)) Floats low_half(Words pairs, f16) {
  const Words magnitude = (pairs & 0x7fffu) << 13;
  const Floats scaled = (Floats)magnitude * 0x1p112f;
  return (Floats)((Words)scaled | ((pairs & 0x8000u) << 16) | ((Words)(magnitude >= 0x0f800000u) & 0x7f800000u));
}
template <typename T>
BA_SAM_UNCHECKED inline __attribute__((always_inline)) Floats high_half(Words pairs) {
  return low_half(pairs >> 16, T{});
}

}  // namespace
}  // namespace ba_sam::emulation

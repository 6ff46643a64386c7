// Warp operations of the tensor cores: products of fragments, and fragments from shared memory.
#include <cstring>

#include "../../../native/cuda/primitives.h"

namespace ba_sam::emulation {

namespace {

using cuda::bf16;
using cuda::f16;

// Eight f32 columns of a tile. One register with AVX, two without; the sums are the same.
typedef float Row __attribute__((vector_size(32)));

template <typename T>
void unpack(uint32_t pair, float& low, float& high) {
  low = cuda::to_float(T{static_cast<uint16_t>(pair)});
  high = cuda::to_float(T{static_cast<uint16_t>(pair >> 16)});
}

inline __attribute__((always_inline)) void product(float (&a)[16][16], Row (&b)[16], Row (&sum)[16]) {
  for (int row = 0; row < 16; ++row) {
    Row total = sum[row];
    for (int k = 0; k < 16; ++k) total += a[row][k] * b[k];
    sum[row] = total;
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void product_avx2(float (&a)[16][16], Row (&b)[16], Row (&sum)[16]) {
  product(a, b, sum);
}
#endif
void product_plain(float (&a)[16][16], Row (&b)[16], Row (&sum)[16]) {
  product(a, b, sum);
}

using Product = void (*)(float (&)[16][16], Row (&)[16], Row (&)[16]);
Product best_product() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return product_avx2;
#endif
  return product_plain;
}

// Fragment layouts as primitives.h describes them.
template <typename T>
void mma(void* const (&operands)[32]) {
  static const Product multiply = best_product();
  float a[16][16];
  alignas(32) Row b[16], sum[16];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const MmaOperands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    float low, high;
    for (int r = 0; r < 4; ++r) {
      float* at = &a[g + r % 2 * 8][2 * t + r / 2 * 8];
      unpack<T>(own.a[r], at[0], at[1]);
    }
    for (int r = 0; r < 2; ++r) {
      unpack<T>(own.b[r], low, high);
      b[2 * t + 8 * r][g] = low;
      b[2 * t + 8 * r + 1][g] = high;
    }
    for (int i = 0; i < 4; ++i) sum[g + i / 2 * 8][2 * t + i % 2] = own.c[i];
  }
  multiply(a, b, sum);
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const MmaOperands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) own.d[i] = sum[g + i / 2 * 8][2 * t + i % 2];
  }
}

template <bool kTransposed>
void load(void* const (&operands)[32]) {
  uint16_t rows[4][8][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const LoadMatrixOperands*>(operands[lane]);
    check_shared(lane, *own.site, "load_matrix", own.row);
    std::memcpy(rows[lane / 8][lane % 8], own.row, 16);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const LoadMatrixOperands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int m = 0; m < 4; ++m) {
      const uint32_t low = kTransposed ? rows[m][2 * t][g] : rows[m][g][2 * t];
      const uint32_t high = kTransposed ? rows[m][2 * t + 1][g] : rows[m][g][2 * t + 1];
      own.result[m] = low | high << 16;
    }
  }
}

}  // namespace

void mma_bf16(void* const (&operands)[32]) {
  mma<bf16>(operands);
}
void mma_f16(void* const (&operands)[32]) {
  mma<f16>(operands);
}
void load_matrix(void* const (&operands)[32]) {
  load<false>(operands);
}
void load_matrix_transposed(void* const (&operands)[32]) {
  load<true>(operands);
}

}  // namespace ba_sam::emulation

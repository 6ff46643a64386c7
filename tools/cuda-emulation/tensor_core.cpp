// Warp operations of the tensor cores: products of fragments, and fragments from shared memory.
#include <cstring>

#include "wide_floats.h"

namespace ba_sam::emulation {

namespace {

// Fragment layouts as primitives.h describes them: words of `a` are pairs along its rows, words of `b` along its columns.
template <typename T>
BA_SAM_UNCHECKED inline __attribute__((always_inline)) void product(void* const (&operands)[32]) {
  alignas(32) uint32_t a[16][8], b[8][8];
  alignas(32) float sum[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const MmaOperands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) a[g + r % 2 * 8][t + r / 2 * 4] = own.a[r];
    for (int r = 0; r < 2; ++r) b[t + 4 * r][g] = own.b[r];
    for (int half = 0; half < 2; ++half) std::memcpy(&sum[g + 8 * half][2 * t], own.c + 2 * half, 8);
  }
  Floats b_row[16];
  for (int pair = 0; pair < 8; ++pair) {
    Words words;
    std::memcpy(&words, b[pair], sizeof words);
    b_row[2 * pair] = low_half(words, T{});
    b_row[2 * pair + 1] = high_half<T>(words);
  }
  for (int row = 0; row < 16; ++row) {
    Words words;
    std::memcpy(&words, a[row], sizeof words);
    alignas(32) float low[8], high[8];
    const Floats even = low_half(words, T{}), odd = high_half<T>(words);
    std::memcpy(low, &even, sizeof low);
    std::memcpy(high, &odd, sizeof high);
    Floats total;
    std::memcpy(&total, sum[row], sizeof total);
#pragma GCC unroll 8
    for (int pair = 0; pair < 8; ++pair) {
      total += low[pair] * b_row[2 * pair];
      total += high[pair] * b_row[2 * pair + 1];
    }
    std::memcpy(sum[row], &total, sizeof total);
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<const MmaOperands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) std::memcpy(own.d + 2 * half, &sum[g + 8 * half][2 * t], 8);
  }
}

#if defined(__x86_64__)
template <typename T>
BA_SAM_UNCHECKED __attribute__((target("avx2"))) void product_avx2(void* const (&operands)[32]) {
  product<T>(operands);
}
const bool have_avx2 = __builtin_cpu_supports("avx2");
#endif

template <typename T>
BA_SAM_UNCHECKED void mma(void* const (&operands)[32]) {
#if defined(__x86_64__)
  if (have_avx2) return product_avx2<T>(operands);
#endif
  product<T>(operands);
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

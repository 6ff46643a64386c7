// Everything that native/backends/cuda/primitives.h makes from PTX, for the host. Included by it, after its 16-bit types.
//
// Products of 16-bit floats are exact in f32; sums are made in f32, rounded to nearest, in the order of K. Tensor cores sum
// in an order and a precision of their own: results agree within rounding, not bit by bit.
#pragma once

#include <cstring>

#include "emulated_device.h"

namespace ba_sam::cuda {

inline float to_float(float x) {
  return x;
}
inline float to_float(bf16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
inline float to_float(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t exponent = (x.bits >> 10) & 31u, mantissa = x.bits & 0x3ffu;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return __uint_as_float(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

template <typename T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline bf16 from_float<bf16>(float x) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};  // the one NaN that cvt makes
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}
template <>
inline f16 from_float<f16>(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {0x7fff};
  if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {  // below the smallest normal: adding 0.5 rounds to multiples of 2^-24
    const float rounded = __uint_as_float(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (__float_as_uint(rounded) - 0x3f000000u))};
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return {static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13)};
}

template <typename T>
uint32_t pack2(float low, float high) {
  static_assert(sizeof(T) == 2);
  return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
}

inline uint32_t pack4_e4m3(float a, float b, float c, float d) {
  uint32_t packed = 0;
  for (const float x : {d, c, b, a}) packed = packed << 8 | e4m3_from_f32_bits(__float_as_uint(x));
  return packed;
}

// .ftz: subnormal inputs and results are zeros.
inline float exp2_fast(float x) {
  const float result = std::exp2(x);
  return result < 0x1p-126f ? 0.0f : result;
}
inline float reciprocal_fast(float x) {
  const float result = 1.0f / (std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x);
  return std::fabs(result) < 0x1p-126f ? std::copysign(0.0f, result) : result;
}
inline float sqrt_fast(float x) {
  if (std::fabs(x) < 0x1p-126f) return std::copysign(0.0f, x);
  return std::sqrt(x);
}

}  // namespace ba_sam::cuda

namespace ba_sam::emulation {

struct MmaOperands {
  const uint32_t* a;
  uint32_t b[2];
  const float* c;
  float* d;
};
// Warp operations, for bf16 and f16.
void mma_bf16(void* const (&operands)[32]);
void mma_f16(void* const (&operands)[32]);

struct LoadMatrixOperands {
  const void* row;
  uint32_t* result;
  const Site* site;
};
void load_matrix(void* const (&operands)[32]);
void load_matrix_transposed(void* const (&operands)[32]);

}  // namespace ba_sam::emulation

namespace ba_sam::cuda {

template <typename T>
void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const float (&c)[4],
                 emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  emulation::MmaOperands operands{a, {b0, b1}, c, d};
  emulation::meet_warp("mma_16x8x16", site, 0xffffffffu,
                       std::is_same_v<T, bf16> ? emulation::mma_bf16 : emulation::mma_f16, &operands);
}

// A shared address has 32 bits on a device. Here: the offset from the block's dynamic shared memory.
inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(static_cast<const uint8_t*>(shared) - emulation::dynamic_shared_memory);
}

inline void load_matrix_x4(uint32_t (&r)[4], const void* shared, emulation::Site site = emulation::Site::here()) {
  emulation::LoadMatrixOperands operands{shared, r, &site};
  emulation::meet_warp("load_matrix_x4", site, 0xffffffffu, emulation::load_matrix, &operands);
}
inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* shared,
                                      emulation::Site site = emulation::Site::here()) {
  emulation::LoadMatrixOperands operands{shared, r, &site};
  emulation::meet_warp("load_matrix_x4_transposed", site, 0xffffffffu, emulation::load_matrix_transposed, &operands);
}

inline void copy_async_16(void* shared, const void* global, bool valid,
                          emulation::Site site = emulation::Site::here()) {
  emulation::issue_copy(site, shared, global, valid);
}
inline void copy_async_commit() {
  emulation::commit_copies();
}
template <int kPending>
void copy_async_wait() {
  static_assert(kPending >= 0);
  emulation::wait_copies(kPending);
}

inline uint8_t* dynamic_shared() {
  return emulation::dynamic_shared_memory;
}

}  // namespace ba_sam::cuda

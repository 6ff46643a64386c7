// IEEE half precision as its 16 bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace ba_sam {

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float subnormal = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -subnormal : subnormal;
  }
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

// Round to nearest even; beyond 65504 + 16 it is infinity, as in PyTorch. NaN stays NaN.
inline uint16_t f32_to_f16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude >= 0x38800000u) {  // 2^-14: normal
    const uint32_t rebased = magnitude - (112u << 23);
    return static_cast<uint16_t>(sign | (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13);
  }
  // Subnormal: units of 2^-24. Adding 2^-1 puts them at the end of a float's mantissa, rounded to even by the addition.
  float positive;
  std::memcpy(&positive, &magnitude, 4);
  const float shifted = positive + 0.5f;
  uint32_t sum;
  std::memcpy(&sum, &shifted, 4);
  return static_cast<uint16_t>(sign | (sum - 0x3f000000u));
}

}  // namespace ba_sam

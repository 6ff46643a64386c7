// e4m3, an 8-bit float, as its bits: a sign, 4 bits of exponent (bias 7), 3 of mantissa; subnormals down to 2^-9, at most
// 448, no infinity, NaN 0x7f. And the scales of rows of such numbers.
//
// A row is stored as round(x · 2^-e), with 2^e the least power of two that brings its largest magnitude to 448 or below.
// Powers of two, so that scaling is exact and only the rounding costs anything: an e4m3 has the same relative precision
// wherever its exponent is normal, a scale with a mantissa would gain nothing.
// Source: Micikevicius et al. 2022, "FP8 formats for deep learning". Device code uses the same functions.
#pragma once

#include <cstdint>

namespace ba_sam {

constexpr uint32_t kInfinityBits = 0x7f800000u;

// From the bits of an f32: to nearest even; what lies above 448 becomes 448.
constexpr uint8_t e4m3_from_f32_bits(uint32_t bits) {
  const uint32_t sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
  if (magnitude > kInfinityBits) return 0x7f;
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7eu);  // 448
  if (magnitude >= 0x3c800000u) {                                           // 2^-6, the least normal number
    const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1);
    return static_cast<uint8_t>(sign | ((rounded - (120u << 23)) >> 20));
  }
  const uint32_t exponent = magnitude >> 23;
  if (exponent < 117) return static_cast<uint8_t>(sign);  // less than half of 2^-9
  const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u, shift = 141 - exponent;
  const uint32_t steps = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  return static_cast<uint8_t>(sign | (steps + (rest > half || (rest == half && (steps & 1)) ? 1 : 0)));
}

constexpr float e4m3_to_f32(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return __builtin_nanf("");
  float magnitude = static_cast<float>(exponent == 0 ? mantissa : 8 + mantissa);
  for (int i = exponent == 0 ? 1 : exponent; i < 10; ++i) magnitude *= 0.5f;
  for (int i = 10; i < exponent; ++i) magnitude *= 2.0f;
  return bits & 0x80 ? -magnitude : magnitude;
}

// e for a row whose largest magnitude has these bits: −126 … 120.
constexpr int e4m3_exponent(uint32_t largest_bits) {
  const int exponent =
      static_cast<int>(largest_bits >> 23) - 127 - 8 + ((largest_bits & 0x7fffffu) > 0x600000u ? 1 : 0);
  return exponent < -126 ? -126 : exponent;
}
// The bits of 2^e; those of infinity where the row holds one, so that products with it show.
constexpr uint32_t e4m3_scale_bits(uint32_t largest_bits) {
  return largest_bits == kInfinityBits ? kInfinityBits : static_cast<uint32_t>(127 + e4m3_exponent(largest_bits)) << 23;
}
// The bits of 2^-e.
constexpr uint32_t e4m3_inverse_scale_bits(uint32_t largest_bits) {
  return static_cast<uint32_t>(127 - e4m3_exponent(largest_bits)) << 23;
}

// What cuBLASLt's e4m3 products ask of K and N.
constexpr int64_t kF8Multiple = 16;

}  // namespace ba_sam

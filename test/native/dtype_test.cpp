// 16-bit floats: every f16, and rounding to f16 and bf16 against arithmetic in double. Prints "N passed, N failed".
#include <algorithm>
#include <cmath>
#include <limits>

#include "../../native/core/bf16.h"
#include "../../native/core/f16.h"
#include "../../native/core/f8.h"
#include "../../native/core/weights.h"
#include "support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

// An f16 or bf16 from its parts, in double.
double value_of(uint16_t bits, int mantissa_bits) {
  const int exponent_bits = 15 - mantissa_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

// The nearest finite number, ties to the even one; a step beyond the largest counts as infinity.
uint16_t nearest(float value, int mantissa_bits) {
  const auto infinity = static_cast<uint16_t>(((1 << (15 - mantissa_bits)) - 1) << mantissa_bits);
  const double magnitude = std::fabs(static_cast<double>(value));
  int low = 0, high = infinity;  // bit patterns of positive numbers are in order
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (value_of(static_cast<uint16_t>(middle), mantissa_bits) <= magnitude ? low : high) = middle;
  }
  const double below = value_of(static_cast<uint16_t>(low), mantissa_bits);
  const double above = high == infinity ? 2 * below - value_of(static_cast<uint16_t>(low - 1), mantissa_bits)
                                        : value_of(static_cast<uint16_t>(high), mantissa_bits);
  const bool up = magnitude - below > above - magnitude || (magnitude - below == above - magnitude && low % 2 == 1);
  return static_cast<uint16_t>((up ? high : low) | (std::signbit(value) ? 0x8000 : 0));
}

void test_every_f16() {
  int wrong = 0, not_back = 0;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double expected = value_of(half, 10);
    const float actual = f16_to_f32(half);
    if (std::isnan(expected)) {
      wrong += !std::isnan(actual);
      not_back += !std::isnan(f16_to_f32(f32_to_f16(actual)));
      continue;
    }
    wrong += static_cast<double>(actual) != expected || std::signbit(actual) != std::signbit(expected);
    not_back += f32_to_f16(actual) != half;
  }
  g_counts.check(wrong == 0, "f16 to f32: " + std::to_string(wrong) + " wrong");
  g_counts.check(not_back == 0, "f16 to f32 and back: " + std::to_string(not_back) + " changed");
}

void test_rounding(Random& random) {
  int wrong_f16 = 0, wrong_bf16 = 0;
  auto try_one = [&](float value) {
    wrong_f16 += f32_to_f16(value) != nearest(value, 10);
    wrong_bf16 += f32_to_bf16(value) != nearest(value, 7);
  };
  for (int i = 0; i < 200000; ++i) {
    const auto bits = static_cast<uint32_t>(random.next());
    float value;
    std::memcpy(&value, &bits, 4);
    if (std::isfinite(value)) try_one(value);
    try_one(static_cast<float>(std::ldexp(random.uniform(-1, 1), static_cast<int>(random.integer(-30, 18)))));
  }
  // Exactly halfway between two f16 neighbours, and the floats next to it.
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double low = value_of(static_cast<uint16_t>(bits), 10);
    const double high = bits == 0x7bff ? 65536.0 : value_of(static_cast<uint16_t>(bits + 1), 10);
    const auto middle = static_cast<float>((low + high) / 2);
    for (float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      try_one(value);
      try_one(-value);
    }
  }
  g_counts.check(wrong_f16 == 0, "f32 to f16: " + std::to_string(wrong_f16) + " wrong");
  g_counts.check(wrong_bf16 == 0, "f32 to bf16: " + std::to_string(wrong_bf16) + " wrong");
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  g_counts.check(f32_to_f16(infinity) == 0x7c00 && f32_to_f16(-infinity) == 0xfc00, "infinities");
  g_counts.check(std::isnan(f16_to_f32(f32_to_f16(nan))) && std::isnan(f16_to_f32(f32_to_f16(-nan))), "NaN");
}

// From the definition: sign, 4 bits of exponent with bias 7, 3 of mantissa.
double e4m3_value(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<double>::quiet_NaN();
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}
uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

void test_e4m3(Random& random) {
  int wrong = 0;
  for (int bits = 0; bits < 256; ++bits) {
    const double expected = e4m3_value(static_cast<uint8_t>(bits));
    const auto actual = static_cast<double>(e4m3_to_f32(static_cast<uint8_t>(bits)));
    wrong += std::isnan(expected)
                 ? !std::isnan(actual)
                 : actual != expected || e4m3_from_f32_bits(bits_of(e4m3_to_f32(static_cast<uint8_t>(bits)))) != bits;
  }
  g_counts.check(wrong == 0, "e4m3 to f32 and back: " + std::to_string(wrong) + " wrong");

  auto nearest_e4m3 = [](double magnitude) {
    int best = 0;
    for (int bits = 1; bits < 0x7f; ++bits) {
      const double ahead = std::fabs(e4m3_value(static_cast<uint8_t>(best)) - magnitude) -
                           std::fabs(e4m3_value(static_cast<uint8_t>(bits)) - magnitude);
      if (ahead > 0 || (ahead == 0 && bits % 2 == 0)) best = bits;
    }
    return best;
  };
  int wrong_rounding = 0;
  auto try_one = [&](float value) {
    const int expected = nearest_e4m3(std::fabs(static_cast<double>(value))) | (std::signbit(value) ? 0x80 : 0);
    wrong_rounding += e4m3_from_f32_bits(bits_of(value)) != expected;
  };
  for (int i = 0; i < 20000; ++i) {
    try_one(static_cast<float>(std::ldexp(random.uniform(-1, 1), static_cast<int>(random.integer(-14, 12)))));
  }
  for (uint8_t bits = 0; bits < 0x7e; ++bits) {
    const auto middle = static_cast<float>((e4m3_value(bits) + e4m3_value(bits + 1)) / 2);
    for (float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      try_one(value);
      try_one(-value);
    }
  }
  for (float value : {1e30f, 449.0f, 1e-40f, -0.0f}) try_one(value);
  g_counts.check(wrong_rounding == 0, "f32 to e4m3: " + std::to_string(wrong_rounding) + " wrong");
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  g_counts.check(e4m3_from_f32_bits(bits_of(infinity)) == 0x7e, "an infinity as e4m3");
  g_counts.check(e4m3_from_f32_bits(bits_of(nan)) == 0x7f, "NaN as e4m3");

  int wrong_scale = 0;
  auto try_scale = [&](float largest) {
    const int e = e4m3_exponent(bits_of(largest));
    const bool fits = static_cast<double>(largest) <= std::ldexp(448, e);
    const bool least = e == -126 || static_cast<double>(largest) > std::ldexp(448, e - 1);
    float scale, inverse;
    const uint32_t scale_bits = e4m3_scale_bits(bits_of(largest)),
                   inverse_bits = e4m3_inverse_scale_bits(bits_of(largest));
    std::memcpy(&scale, &scale_bits, 4);
    std::memcpy(&inverse, &inverse_bits, 4);
    wrong_scale += !fits || !least || scale != std::ldexp(1.0f, e) || inverse != std::ldexp(1.0f, -e);
  };
  for (float value : {0.0f, 1e-45f, 1e-38f, 448.0f, std::nextafter(448.0f, 1e9f), 3.4e38f, 1.0f, 1.75f, 1.875f}) {
    try_scale(value);
  }
  for (int i = 0; i < 10000; ++i) {
    try_scale(static_cast<float>(std::ldexp(random.uniform(0.5, 1), static_cast<int>(random.integer(-140, 127)))));
  }
  g_counts.check(wrong_scale == 0, "scales of e4m3: " + std::to_string(wrong_scale) + " wrong");
  g_counts.check(e4m3_scale_bits(0x7f800000u) == 0x7f800000u, "the scale of an infinity");
}

// convert_elements between all pairs, from unaligned memory.
void test_conversion() {
  const DType floats[] = {DType::f32, DType::bf16, DType::f16};
  const float values[] = {0.0f, -1.5f, 0.333f, 1000.25f, -6e-8f};
  for (DType from : floats) {
    std::vector<uint8_t> source(1 + sizeof(values));
    convert_elements(source.data(), from, values, DType::f32, 5);
    std::memmove(source.data() + 1, source.data(), sizeof(values));
    for (DType to : floats) {
      std::vector<uint8_t> target(sizeof(values)), back(sizeof(values)), direct(sizeof(values));
      convert_elements(target.data(), to, source.data() + 1, from, 5);
      convert_elements(back.data(), DType::f32, target.data(), to, 5);
      convert_elements(direct.data(), DType::f32, source.data() + 1, from, 5);
      float worst = 0;
      for (size_t i = 0; i < 5; ++i) {
        float a, b;
        std::memcpy(&a, &back[4 * i], 4);
        std::memcpy(&b, &direct[4 * i], 4);
        worst = std::max(worst, std::fabs(a - b) - 0.004f * std::fabs(b) - 6e-8f);
      }
      g_counts.check(worst <= 0, std::string(dtype_name(from)) + " to " + dtype_name(to));
    }
  }
  uint8_t byte = 0;
  g_counts.check(error_of([&] { convert_elements(&byte, DType::u8, values, DType::f32, 1); }, "ERR_INVALID_ARGUMENT")
                         .find("f32, bf16 or f16") != std::string::npos,
                 "no weights of integers");
}

}  // namespace

int main() {
  Random random(1);
  test_every_f16();
  test_rounding(random);
  test_e4m3(random);
  test_conversion();
  return g_counts.finish();
}

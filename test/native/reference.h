// What the float64 loops of several ops share (native/ops/<op>/cases.cpp), written from the formulas in lib/ops.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "../../native/core/bf16.h"
#include "../../native/core/f16.h"
#include "../../native/ops/op.h"

namespace ba_sam::test {

using Array = std::vector<double>;

// Stored values are rounded to their dtype, as in any implementation.
inline double rounded(double v, DType dtype) {
  if (dtype == DType::bf16) return bf16_to_f32(f32_to_bf16(static_cast<float>(v)));
  if (dtype == DType::f16) return f16_to_f32(f32_to_f16(static_cast<float>(v)));
  return dtype == DType::f32 ? static_cast<double>(static_cast<float>(v)) : v;
}

inline double activate(double v, Activation kind) {
  if (kind == Activation::relu) return v < 0 ? 0 : v;  // NaN stays NaN
  return kind == Activation::gelu ? 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))) : v;
}

// A matrix with every row rounded to e4m3 (4 bits of significand from 2^-6 on, multiples of 2^-9 below), scaled by the least
// power of two that brings the row to 448 or below.
inline Array rounded_to_f8(const Array& matrix, int64_t columns) {
  Array out(matrix.size());
  for (size_t row = 0; row < matrix.size(); row += static_cast<size_t>(columns)) {
    double largest = 0;
    for (int64_t c = 0; c < columns; ++c) largest = std::max(largest, std::abs(matrix[row + c]));
    int exponent = -126;
    while (std::ldexp(448, exponent) < largest) ++exponent;
    for (int64_t c = 0; c < columns; ++c) {
      const double scaled = std::ldexp(matrix[row + c], -exponent);
      const double step = std::ldexp(1, std::max(-9, scaled == 0 ? -9 : std::ilogb(scaled) - 3));
      out[row + c] = std::ldexp(std::nearbyint(scaled / step) * step, exponent);
    }
  }
  return out;
}

// Linear sample of an axis at output position i, align_corners = false.
struct Resample {
  int64_t low, high;
  double t;
  Resample(int64_t i, int64_t in, int64_t out) {
    const double s = std::max(0.0, (i + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5);
    low = std::min(static_cast<int64_t>(s), in - 1);
    high = std::min(low + 1, in - 1);
    t = s - static_cast<double>(low);
  }
};

}  // namespace ba_sam::test

// SAM's position encoding of one point, in double: its error never shows.
#pragma once

#include <cmath>
#include <cstdint>

namespace ba_sam::cpu {

constexpr double kPi = 3.14159265358979323846;

// Random Fourier features (Tancik et al. 2020) of a point in [0, 1]²: [sin(2π(2p − 1)·G), cos(…)].
// Reference: pe() of the PyTorch reference; SAM's PositionEmbeddingRandom._pe_encoding.
inline void encode_point(float* out, double x, double y, const float* gaussian, int64_t features) {
  for (int64_t f = 0; f < features; ++f) {
    const double angle = 2 * kPi * ((2 * x - 1) * gaussian[f] + (2 * y - 1) * gaussian[features + f]);
    out[f] = static_cast<float>(std::sin(angle));
    out[features + f] = static_cast<float>(std::cos(angle));
  }
}

}  // namespace ba_sam::cpu

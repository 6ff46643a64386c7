// Random Fourier features on CUDA, for pointEncoding and gridEncoding.
//
// Hazard: computed in f64 and rounded once, as on the CPU, so that both backends agree to the last bit or two: angles are many
// turns, where f32 would lose the digits that sine and cosine need. sincospi takes half turns: its reduction is exact, and
// needs no local memory.
#pragma once

#include "../../backends/cuda/runtime.h"

namespace ba_sam::cuda {

// Sine and cosine of feature f (Tancik et al. 2020) of a point in [0, 1]².
__device__ __forceinline__ void encode_point(float* sine, float* cosine, double x, double y, const float* gaussian,
                                             int64_t f, int64_t features) {
  const double turns = (2 * x - 1) * gaussian[f] + (2 * y - 1) * gaussian[features + f];
  double s, c;
  sincospi(2 * turns, &s, &c);
  *sine = static_cast<float>(s);
  *cosine = static_cast<float>(c);
}

}  // namespace ba_sam::cuda

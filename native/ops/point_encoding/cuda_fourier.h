// Random Fourier features on CUDA.
#pragma once

#include "../../backends/cuda/runtime.h"

namespace ba_sam::cuda {

// Random Fourier features (Tancik et al. 2020) of a point in [0, 1]².
__device__ __forceinline__ void encode_point(float* sine, float* cosine, double x, double y, const float* gaussian,
                                             int64_t f, int64_t features) {
  const double turns = (2 * x - 1) * gaussian[f] + (2 * y - 1) * gaussian[features + f];
  double s, c;
  sincospi(2 * turns, &s, &c);
  *sine = static_cast<float>(s);
  *cosine = static_cast<float>(c);
}

}  // namespace ba_sam::cuda

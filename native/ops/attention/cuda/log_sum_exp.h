// ln Σ exp(logit) of one query, from what an online softmax keeps: what the gradient needs in place of probabilities.
#pragma once

#include "../../../backends/cuda/primitives.h"

namespace ba_sam::cuda {

// maximum: in base 2, as large as the largest logit or near it; sum: of exp2(logit in base 2 − maximum).
__device__ __forceinline__ float log_sum_exp(float maximum, float sum) {
  constexpr float kLn2 = 0.69314718055994531f;
  return fmaf(maximum, kLn2, logf(sum));
}

}  // namespace ba_sam::cuda

// relu in place, after a product: oneDNN's own gives 0 for what is not a number, and so hides it.
#pragma once

#include <cstdint>

#include "../../core/tensor.h"

namespace ba_sam::cpu {

// x > 0 → x, NaN → NaN, else → +0; f32 or bf16, by the team of the calling thread.
void relu(void* data, DType dtype, int64_t count);

}  // namespace ba_sam::cpu

// What every Simd struct and its kernels use that holds no vector: bf16 and the exponential's coefficients.
//
// Include this before any target pragma: its functions must be compiled for the baseline processor, whichever copy
// the linker keeps. For the same reason no kernel instantiates a std template.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../../../core/bf16.h"

namespace ba_sam::cpu {

// A type of its own, so that load_partial and store_partial can be overloaded on it.
struct Bf16 {
  uint16_t bits;
};

inline Bf16 to_bf16(float x) {
  return Bf16{f32_to_bf16(x)};
}

// 2^f = Σ c[i]·f^i on [−0.5, 0.5], minimax in relative error: 9e-8, at most 2.1 ulp when evaluated in f32.
constexpr float kExp2[6] = {1.0f,
                            0.6931470036506653f,
                            0.24022242426872253f,
                            0.05550733581185341f,
                            0.009671512991189957f,
                            0.001326472731307149f};

// Relative error 2.8e-6: enough where the result is rounded to bf16 (2^-9).
constexpr float kExp2Short[5] = {1.0f, 0.6931241750717163f, 0.24024099111557007f, 0.055906426161527634f,
                                 0.009582852944731712f};

}  // namespace ba_sam::cpu

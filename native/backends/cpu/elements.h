// What memory-bound ops share: element types, and loops that are compiled once per instruction set.
#pragma once

#include "../../core/bf16.h"
#include "backend.h"

// GCC emits one version per target and picks at load time. Not under sanitizers: their runtime is not ready when
// the picking code runs.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define BA_SAM_CLONES __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define BA_SAM_CLONES
#endif

namespace ba_sam::cpu {

struct F32 {
  using type = float;
  static float load(float v) { return v; }
  static float store(float v) { return v; }
};
struct Bf16 {
  using type = uint16_t;
  static float load(uint16_t v) { return bf16_to_f32(v); }
  static uint16_t store(float v) { return f32_to_bf16(v); }
};

// Calls f(In{}, Out{}) with the element types of the two dtypes.
template <typename F>
void dispatch(DType in, DType out, F f) {
  if (in == DType::f32 && out == DType::f32)
    f(F32{}, F32{});
  else if (in == DType::f32)
    f(F32{}, Bf16{});
  else if (out == DType::f32)
    f(Bf16{}, F32{});
  else
    f(Bf16{}, Bf16{});
}

}  // namespace ba_sam::cpu

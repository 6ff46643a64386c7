// See relu.h.
#include "relu.h"

#include <algorithm>

#include "elements.h"

namespace ba_sam::cpu {
namespace {

constexpr int64_t kChunk = 1 << 15;

// Bits, because comparing floats keeps GCC from making vectors of it: from −0 to −infinity they are one range.
template <typename Bits>
inline __attribute__((always_inline)) void relu_bits(Bits* x, int64_t count, Bits minus_zero, Bits infinity) {
  for (int64_t i = 0; i < count; ++i) {
    x[i] = static_cast<Bits>(x[i] - minus_zero) <= infinity ? static_cast<Bits>(0) : x[i];
  }
}

BA_SAM_CLONES void relu_f32(uint32_t* x, int64_t count) {
  relu_bits<uint32_t>(x, count, 0x80000000u, 0x7f800000u);
}
BA_SAM_CLONES void relu_bf16(uint16_t* x, int64_t count) {
  relu_bits<uint16_t>(x, count, 0x8000, 0x7f80);
}

}  // namespace

void relu(void* data, DType dtype, int64_t count) {
#pragma omp parallel for schedule(static) if (count > kChunk)
  for (int64_t at = 0; at < count; at += kChunk) {
    const int64_t part = std::min(kChunk, count - at);
    if (dtype == DType::bf16) {
      relu_bf16(static_cast<uint16_t*>(data) + at, part);
    } else {
      relu_f32(static_cast<uint32_t*>(data) + at, part);
    }
  }
}

}  // namespace ba_sam::cpu

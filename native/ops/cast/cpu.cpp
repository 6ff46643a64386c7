// cast on the CPU.
#include <algorithm>

#include "../../backends/cpu/backend.h"

namespace ba_sam::cpu {

// f32 ↔ bf16, rounding to nearest even.
KernelPtr make_kernel(const KernelContext& c, const CastOp&) {
  constexpr int64_t kChunk = 1 << 14;
  const DType in = c.in(0).dtype, out = c.out().dtype;
  const int64_t count = c.out().elements();
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i += kChunk) {
      convert_elements(static_cast<uint8_t*>(io.out[0]) + i * dtype_bytes(out), out,
                       static_cast<const uint8_t*>(io.in[0]) + i * dtype_bytes(in), in,
                       static_cast<size_t>(std::min(kChunk, count - i)));
    }
  });
}

}  // namespace ba_sam::cpu

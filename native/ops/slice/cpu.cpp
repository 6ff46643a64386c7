// slice on the CPU.
#include <cstring>

#include "../../backends/cpu/backend.h"

namespace ba_sam::cpu {

// out [B, count, C] = x [B, start … start + count, C].
KernelPtr make_kernel(const KernelContext& c, const SliceOp& op) {
  const Shape x = c.in(0).shape, out = c.out().shape;
  const size_t row_bytes = static_cast<size_t>(out[2]) * dtype_bytes(c.out().dtype);
  const auto start = static_cast<size_t>(op.start);
  return kernel([=](const KernelIo& io) {
    const size_t in_bytes = static_cast<size_t>(x[1]) * row_bytes, out_bytes = static_cast<size_t>(out[1]) * row_bytes;
    for (int64_t b = 0; b < out[0]; ++b) {
      std::memcpy(static_cast<uint8_t*>(io.out[0]) + b * out_bytes,
                  static_cast<const uint8_t*>(io.in[0]) + b * in_bytes + start * row_bytes, out_bytes);
    }
  });
}

}  // namespace ba_sam::cpu

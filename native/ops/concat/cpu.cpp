// concat on the CPU.
#include <cstring>

#include "../../backends/cpu/backend.h"

namespace ba_sam::cpu {

// out [B, ΣN, C] = inputs [B or 1, N, C] one after another along the tokens.
KernelPtr make_kernel(const KernelContext& c, const ConcatOp&) {
  std::vector<Shape> shapes;
  for (size_t i = 0; i < c.node.inputs.size(); ++i) shapes.push_back(c.in(i).shape);
  const Shape out = c.out().shape;
  const size_t row_bytes = static_cast<size_t>(out[2]) * dtype_bytes(c.out().dtype);
  return kernel([=](const KernelIo& io) {
    auto* target = static_cast<uint8_t*>(io.out[0]);
    for (int64_t b = 0; b < out[0]; ++b) {
      for (size_t i = 0; i < shapes.size(); ++i) {
        const size_t bytes = static_cast<size_t>(shapes[i][1]) * row_bytes;
        if (!bytes) continue;
        std::memcpy(target, static_cast<const uint8_t*>(io.in[i]) + (shapes[i][0] == 1 ? 0 : b) * bytes, bytes);
        target += bytes;
      }
    }
  });
}

}  // namespace ba_sam::cpu

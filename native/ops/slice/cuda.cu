// slice on CUDA: one copy.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// out [B, count, C] = x [B, start … start + count, C].
KernelPtr make_kernel(const KernelContext& c, const SliceOp& op) {
  const int64_t row_bytes = c.out().shape[2] * static_cast<int64_t>(dtype_bytes(c.out().dtype));
  const int64_t batch = c.out().shape[0], start = op.start * row_bytes;
  const int64_t in_bytes = c.in(SliceOp::x).shape[1] * row_bytes, out_bytes = c.out().shape[1] * row_bytes;
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    const auto* from = static_cast<const uint8_t*>(io.in[SliceOp::x]) + start;
    copy_rows(io.out[0], out_bytes, from, in_bytes, out_bytes, batch, stream);
  });
}

}  // namespace ba_sam::cuda

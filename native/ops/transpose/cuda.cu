// transpose on CUDA.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// [B, …, C] ↔ [B, C, …].
KernelPtr make_kernel(const KernelContext& c, const TransposeOp& op) {
  const Value& x = c.in(TransposeOp::x);
  const bool first = op.to == ChannelOrder::channels_first;
  const int64_t batch = x.shape[0], channels = first ? x.shape.back() : x.shape[1];
  const int64_t other = x.elements() / (batch * channels);
  const int64_t rows = first ? other : channels, columns = first ? channels : other;
  const size_t element_bytes = dtype_bytes(x.dtype);
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    transpose(io.out[0], io.in[TransposeOp::x], batch, rows, columns, element_bytes, stream);
  });
}

}  // namespace ba_sam::cuda

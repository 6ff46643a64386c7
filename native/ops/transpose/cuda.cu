// transpose on CUDA.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// [B, …, C] ↔ [B, C, …].
KernelPtr make_transpose(const KernelContext& c) {
  const Shape& x = c.in(0).shape;
  const int64_t batch = x[0], channels = c.integer(0) ? x.back() : x[1];
  const int64_t other = c.in(0).elements() / (batch * channels);
  const int64_t rows = c.integer(0) ? other : channels, columns = c.integer(0) ? channels : other;
  const bool wide = dtype_bytes(c.out().dtype) == 4;
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    if (wide)
      transpose<uint32_t>(io.out, io.in[0], batch, rows, columns, stream);
    else
      transpose<uint16_t>(io.out, io.in[0], batch, rows, columns, stream);
  });
}

}  // namespace ba_sam::cuda

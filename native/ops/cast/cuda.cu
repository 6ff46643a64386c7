// cast on CUDA.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// Between float dtypes, rounding to nearest even.
KernelPtr make_kernel(const KernelContext& c, const CastOp&) {
  const DType in = c.in(CastOp::x).dtype, out = c.out().dtype;
  const int64_t count = c.out().elements();
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    convert(io.out[0], out, io.in[CastOp::x], in, count, stream);
  });
}

}  // namespace ba_sam::cuda

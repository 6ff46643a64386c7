// cast on CUDA.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// Between float dtypes, rounding to nearest even.
KernelPtr make_cast(const KernelContext& c) {
  const DType in = c.in(0).dtype, out = c.out().dtype;
  const int64_t count = c.out().elements();
  return kernel(
      [=, stream = c.backend.stream()](const KernelIo& io) { convert(io.out, out, io.in[0], in, count, stream); });
}

}  // namespace ba_sam::cuda

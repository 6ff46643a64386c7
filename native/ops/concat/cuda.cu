// concat on CUDA: one copy per input.
#include "../../backends/cuda/backend.h"
#include "../../backends/cuda/kernels.h"

namespace ba_sam::cuda {

// out [B, ΣN, C] = inputs [B or 1, N, C] one after another along the tokens.
KernelPtr make_kernel(const KernelContext& c, const ConcatOp&) {
  std::vector<Shape> shapes;
  for (size_t i = 0; i < c.node.inputs.size(); ++i) shapes.push_back(c.in(i).shape);
  const Shape out = c.out().shape;
  const int64_t row_bytes = out[2] * static_cast<int64_t>(dtype_bytes(c.out().dtype));
  return kernel([=, stream = c.backend.stream()](const KernelIo& io) {
    auto* target = static_cast<uint8_t*>(io.out[0]);
    for (size_t i = 0; i < shapes.size(); ++i) {
      const int64_t bytes = shapes[i][1] * row_bytes;
      copy_rows(target, out[1] * row_bytes, io.in[i], shapes[i][0] == 1 ? 0 : bytes, bytes, out[0], stream);
      target += bytes;
    }
  });
}

}  // namespace ba_sam::cuda

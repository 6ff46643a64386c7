// matmul on CUDA: one batched product (../../backends/cuda/gemm.h).
#include "../../backends/cuda/backend.h"

namespace ba_sam::cuda {

// out [B, M, N] = a [B, M, K] · b [B, N, K]ᵀ. Reference: torch.matmul(a, b.transpose(1, 2)).
KernelPtr make_matmul(const KernelContext& c) {
  const Shape &a = c.in(0).shape, &b = c.in(1).shape;
  GemmCall call;
  call.in_dtype = c.in(0).dtype;
  call.out_dtype = c.out().dtype;
  call.batch = a[0];
  call.m = a[1];
  call.n = b[1];
  call.k = a[2];
  call.x_stride = a[1] * a[2];
  call.w_stride = b[1] * b[2];
  return kernel([=, &gemm = c.backend.gemm()](const KernelIo& io) mutable {
    call.x = io.in[0];
    call.w = io.in[1];
    call.out = io.out;
    gemm.run(call);
  });
}

}  // namespace ba_sam::cuda
